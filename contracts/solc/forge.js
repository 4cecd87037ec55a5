#!/usr/bin/env node
// Forge with its own exit status: the launcher that npm installs for version 1.7.1 exits with 0 even when
// tests fail, which no test runner may rely on.
"use strict";

const { spawnSync } = require("child_process");
const path = require("path");

const architecture = { x64: "amd64", arm64: "arm64" }[process.arch];
const platform = { linux: "linux", darwin: "darwin", win32: "win32" }[process.platform];
const name = `@foundry-rs/forge-${platform}-${architecture}`;

let folder;
try {
  folder = path.dirname(require.resolve(`${name}/package.json`, { paths: [path.join(__dirname, "..", "..")] }));
} catch {
  process.stderr.write(`Forge is not installed for this machine (${name}): run npm ci.\n`);
  process.exit(1);
}
const binary = path.join(folder, "bin", process.platform === "win32" ? "forge.exe" : "forge");
const { status, error } = spawnSync(binary, process.argv.slice(2), { stdio: "inherit" });
if (error) process.stderr.write(`${binary} did not start: ${error.message}\n`);
process.exit(status ?? 1);
