// Metered's own client, found in the working directory, connected to this address. See ../src/metered.rs for what it reads and prints.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.cwd()}/`);
const { SignallingClient } = require("@metered-ca/realtime");
const WebSocket = require("ws");

const started = performance.now();
const tell = (event, more = {}) =>
  console.log(JSON.stringify({ t: Math.round(performance.now() - started), event, ...more }));

let tokens = 0;
const client = new SignallingClient({
  url: process.argv[2],
  tokenProvider: async () => {
    tell("token", { number: ++tokens });
    return `token-${tokens}`;
  },
  webSocketFactory: (url) => {
    tell("dial");
    return new WebSocket(url);
  },
});
client
  .on("connected", ({ peerId, isReconnect }) => tell("connected", { peerId, isReconnect }))
  .on("disconnected", ({ code, willReconnect }) => tell("disconnected", { code, willReconnect }))
  .on("state-change", ({ to }) => tell("state", { to }))
  .on("going-away", (frame) => tell("going-away", frame))
  .on("presence", ({ channel }) => tell("presence", { channel }))
  .on("message", ({ channel, from, data }) => tell("message", { channel, from, data }));

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [command, text] = line.split(" ");
    if (command === "publish") client.publish("room", text).then(() => tell("acknowledged"));
  })
  .on("close", () => process.exit());

await client.connect();
await client.subscribe("room");
tell("subscribed");
