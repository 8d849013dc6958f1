/** What the mesh needs of Node, Bun and Deno. */
import { hostname } from "node:os"
import { ambient } from "./calls-context.node.ts"
import type { Discovery, Platform } from "./contract.ts"
import { dns, resolveName } from "./discovery/dns.node.ts"
import { mdns } from "./discovery/mdns.node.ts"
import { seedsWith } from "./discovery/seeds.ts"
import { dialable } from "./interfaces.node.ts"
import { isLocalPeer, keepPeersLocal } from "./peers.ts"
import { openState } from "./state.node.ts"

export const platform: Platform = {
  env: process.env,
  defaultName: `${hostname()}-${process.pid}`,
  defaultListen: ["tcp://*:0"],
  // A pod hears no multicast, and asking for it would only mislead.
  defaultDiscovery: () => (process.env["KUBERNETES_SERVICE_HOST"] === undefined ? [mdns()] : []),
  dns: namedPlace,
  seeds: (...endpoints) => seedsWith(resolveName, endpoints),
  isLocal: (endpoint) =>
    /^(inproc|ipc):/.test(endpoint) ||
    /^[a-z]+:\/\/(127\.\d+\.\d+\.\d+|\[::1\]|localhost)(:|\/|$)/.test(endpoint) ||
    isLocalPeer(endpoint),
  addresses: dialable,
  keepLocal: (endpoint) => keepPeersLocal(endpoint.replace(/^([a-z]+:\/\/)(\*|0\.0\.0\.0|\[::\])(?=:)/, "$1127.0.0.1")),
  openState,
  ambient,
  log: (line) => void process.stderr.write(`${line}\n`),
}

/** `name`, or `name:port` where no SRV records bring the ports. */
function namedPlace(place: string): Discovery {
  const [, name = place, port] = /^(.+):(\d+)$/.exec(place) ?? []
  return dns(name, port === undefined ? {} : { port: Number(port) })
}
