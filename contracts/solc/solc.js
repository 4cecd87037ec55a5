#!/usr/bin/env node
// The Solidity compiler as one executable that Forge and py-solc-x accept.
//
// It answers `--version` as the native compiler does, and with `--standard-json` compiles the
// standard input. Flags about paths (--base-path, --allow-paths, --include-path, -) are accepted
// and ignored: every caller sends the sources inside the JSON. A native compiler of the same
// release, named by GAINSAY_SOLC, does the work instead (the output is the same, only sooner).
"use strict";

const { spawnSync } = require("child_process");
const fs = require("fs");
const path = require("path");

// The folder that holds node_modules: the project's, or another where there is no project (an installed wheel).
const MODULES = process.env.GAINSAY_NODE_MODULES;
const SEARCH = { paths: [MODULES ? path.dirname(path.resolve(MODULES)) : path.join(__dirname, "..", "..")] };
const RELEASE = require(require.resolve("solc/package.json", SEARCH)).version;

/** Runs the compiler that GAINSAY_SOLC names; undefined when there is none. */
function runNative(flags) {
  const native = process.env.GAINSAY_SOLC;
  if (!native) return undefined;
  // Without the setting, a script that ends up here again does not call itself for ever.
  const { GAINSAY_SOLC: _, ...env } = process.env;
  const version = spawnSync(native, ["--version"], { encoding: "utf8", env }).stdout ?? "";
  if (!version.includes(`Version: ${RELEASE}+`)) {
    process.stderr.write(`GAINSAY_SOLC=${native} is not solc ${RELEASE}: unset it or install that release.\n`);
    return 2;
  }
  return spawnSync(native, flags, { stdio: "inherit", env }).status ?? 1;
}

function runJavaScript(flags) {
  const compiler = require(require.resolve("solc", SEARCH));
  // The compiler's loader turns every later error of this process into a dump of itself.
  for (const event of ["uncaughtException", "unhandledRejection"]) process.removeAllListeners(event);
  if (flags.includes("--version")) {
    const version = compiler.version().replace(/\.Emscripten\.clang$/, ".Linux.g++");
    process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
    return 0;
  }
  if (flags.includes("--standard-json")) {
    process.stdout.write(compiler.compile(fs.readFileSync(0, "utf8")) + "\n");
    return 0;
  }
  process.stderr.write("This compiler only answers --version and --standard-json.\n");
  return 2;
}

const flags = process.argv.slice(2);
process.exitCode = runNative(flags) ?? runJavaScript(flags);
