/** What the mesh needs of Node, Bun and Deno. */
import { ambient } from "./calls-context.node.ts"
import { Carrier } from "./carrier.ts"
import type { Platform } from "./contract.ts"
import { resolveName } from "./discovery/dns.node.ts"
import { seedsWith } from "./discovery/seeds.ts"
import { readEnvironment } from "./environment.node.ts"
import { dialable } from "./interfaces.node.ts"
import { logEvents } from "./log.ts"
import { isLocalPeer, keepPeersLocal } from "./peers.ts"
import { openState } from "./state.node.ts"

export const platform: Platform = {
  environment: () => readEnvironment(process.env),
  seeds: (...endpoints) => seedsWith(resolveName, endpoints),
  isLocal: (endpoint) =>
    /^(inproc|ipc):/.test(endpoint) ||
    /^[a-z]+:\/\/(127\.\d+\.\d+\.\d+|\[::1\]|localhost)(:|\/|$)/.test(endpoint) ||
    isLocalPeer(endpoint),
  addresses: dialable,
  keepLocal: (endpoint) => keepPeersLocal(endpoint.replace(/^([a-z]+:\/\/)(\*|0\.0\.0\.0|\[::\])(?=:)/, "$1127.0.0.1")),
  relay: (owner) => new Carrier(owner),
  openState,
  ambient,
  log: (line) => void process.stderr.write(`${line}\n`),
  logEvents,
}
