/** `earshot/mesh` for Node, Bun and Deno: members that find each other and route by subject, with no broker. */
import "../runtime.ts"
import "../register.node.ts"
import { transports } from "../defaults.ts"
import { Mesh as BaseMesh } from "./mesh.ts"
import type { MeshOptions } from "./options.ts"
import { platform } from "./platform.node.ts"

/** One member of a mesh. Made by `Mesh.join`. */
export class Mesh extends BaseMesh {
  /**
   * Listens and begins to look for the other members of its network; waits for none of them. What is published before they
   * are linked waits for up to `settle` ms. Rejects EINVAL, EADDRINUSE and what else `bind` rejects with, STATE_IN_USE.
   */
  static join(options: MeshOptions = {}): Promise<Mesh> {
    return BaseMesh.start((hub, state) => new Mesh(hub, state), options, platform, transports)
  }
}

export { ws } from "../../transports/ws.ts"
export { dns, type DnsOptions } from "./discovery/dns.node.ts"
export { mdns, type MdnsOptions } from "./discovery/mdns.node.ts"
export * from "./exports.ts"
