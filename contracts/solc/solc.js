#!/usr/bin/env node
// The Solidity compiler as one executable that Forge and py-solc-x accept.
//
// It answers `--version` as the native compiler does, and with `--standard-json` compiles the
// standard input. Flags about paths (--base-path, --allow-paths, --include-path, -) are accepted
// and ignored: every caller sends the sources inside the JSON.
"use strict";

const fs = require("fs");
const path = require("path");

// solc's own loader is slow and noisy when it attaches process handlers: keep only the ones Node had.
const compiler = require(require.resolve("solc", { paths: [path.join(__dirname, "..", "..")] }));
for (const event of ["uncaughtException", "unhandledRejection"]) process.removeAllListeners(event);

/** "0.8.34+commit.80d5c536.Emscripten.clang" -> what the native compiler prints for the same release. */
function nativeVersion() {
  return compiler.version().replace(/\.Emscripten\.clang$/, ".Linux.g++");
}

function main(flags) {
  if (flags.includes("--version")) {
    process.stdout.write(
      `solc, the solidity compiler commandline interface\nVersion: ${nativeVersion()}\n`,
    );
    return 0;
  }
  if (flags.includes("--standard-json")) {
    process.stdout.write(compiler.compile(fs.readFileSync(0, "utf8")) + "\n");
    return 0;
  }
  process.stderr.write("This compiler only answers --version and --standard-json.\n");
  return 2;
}

process.exitCode = main(process.argv.slice(2));
