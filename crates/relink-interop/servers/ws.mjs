// An echo server on npm's `ws`, found in the working directory. See ../src/server.rs for what it reads and prints.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { WebSocketServer } = createRequire(`${process.cwd()}/`)("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });

server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  console.log("open");
  socket.on("message", (data, isBinary) => {
    if (!isBinary) console.log(`message ${data}`);
    socket.send(data, { binary: isBinary });
  });
  socket.on("ping", () => console.log("ping"));
  socket.on("close", (code) => console.log(`close ${code}`));
  socket.on("error", (error) => console.log(`error ${error.message}`));
});

const commands = {
  close: (socket, code, reason) => socket.close(Number(code), reason),
  terminate: (socket) => socket.terminate(),
};
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [command, code, ...reason] = line.split(" ");
    if (command === "quit") process.exit();
    for (const socket of server.clients) commands[command](socket, code, reason.join(" "));
  })
  .on("close", () => process.exit());
