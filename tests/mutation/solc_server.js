// One Solidity compiler for a whole run of mutants: loading it, and its first compilation, take longer than any other.
// Listens on the socket that its argument names; answers a standard JSON request per connection, with the settings of
// its second argument. See solc.py.
"use strict";

const net = require("net");
const path = require("path");

const SEARCH = { paths: [path.join(__dirname, "..", "..")] };
const compiler = require(require.resolve("solc", SEARCH));
for (const event of ["uncaughtException", "unhandledRejection"]) process.removeAllListeners(event);

const SETTINGS = JSON.parse(process.argv[3]);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a part of a request: the runner of a mutant was killed while it asked
  }
}

function compile(request) {
  return compiler.compile(JSON.stringify({ ...request, settings: { ...request.settings, ...SETTINGS } }));
}

const server = net.createServer({ allowHalfOpen: true }, (connection) => {
  const parts = [];
  connection.on("data", (part) => parts.push(part));
  connection.on("error", () => connection.destroy());
  connection.on("end", () => {
    const request = parsed(Buffer.concat(parts).toString("utf8"));
    if (request === undefined) connection.destroy();
    else connection.end(compile(request) + "\n");
  });
});
server.listen(process.argv[2], () => process.stdout.write(compiler.version() + "\n"));
// The runner keeps the standard input open: when it ends, so does this.
process.stdin.on("end", () => process.exit(0)).resume();
