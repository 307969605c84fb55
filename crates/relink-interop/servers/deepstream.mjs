// A deepstream server on this port, found in the working directory. It prints `started`, and ends with its stdin.
import { createRequire } from "node:module";

const { Deepstream } = createRequire(`${process.cwd()}/`)("@deepstream/server");
const port = Number(process.argv[2]);
const endpoint = (type, urlPath) => ({
  type,
  // It closes whoever is silent for two intervals, and answers pings of those who have logged in.
  options: {
    urlPath,
    heartbeatInterval: 1000,
    outgoingBufferTimeout: 0,
    maxBufferByteSize: 100000,
    unauthenticatedClientTimeout: 10000,
    maxAuthAttempts: 3,
    maxMessageSize: 1048576,
  },
});

const server = new Deepstream({
  showLogo: false,
  logLevel: 3,
  auth: [{ type: "file", options: { users: { ada: { password: "open sesame" } } } }],
  httpServer: {
    type: "default",
    options: {
      host: "127.0.0.1",
      port,
      healthCheckPath: "/health-check",
      allowAllOrigins: true,
      origins: [],
      headers: [],
      maxMessageSize: 1048576,
    },
  },
  connectionEndpoints: [endpoint("ws-binary", "/deepstream"), endpoint("ws-json", "/deepstream-json")],
});
server.on("started", () => console.log("started"));
server.start();
process.stdin.on("end", () => process.exit()).resume();
