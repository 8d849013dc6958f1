/** `earshot/mesh` for Node, Bun and Deno: members that find each other and route by subject, with no broker. */
import "../runtime.ts"
import { registerTransports } from "../register.node.ts"
import { transports } from "../defaults.ts"
import { EarshotError } from "../errors.ts"
import { Mesh as BaseMesh } from "./mesh.ts"
import type { MeshOptions } from "./options.ts"
import type { Discovery, StateStore } from "./contract.ts"
import type { Hub } from "./hub.ts"
import { platform } from "./platform.node.ts"
import { showMesh } from "./showing.ts"

registerTransports()
showMesh()

/** One member of a mesh. Made by `Mesh.join`. */
export class Mesh extends BaseMesh {
  /** @internal */
  protected constructor(hub: Hub, state: StateStore | undefined) {
    if ((hub as Hub | undefined) === undefined)
      throw new EarshotError("EINVAL", "a mesh is made by `await Mesh.join()`")
    super(hub, state)
  }

  /**
   * Listens and begins to look for the other members of its network; waits for none of them. What is published before they
   * are linked waits for up to `settle` ms. Rejects EINVAL, EADDRINUSE and what else `bind` rejects with, STATE_IN_USE.
   */
  static async join(options: MeshOptions = {}): Promise<Mesh> {
    const mesh = await BaseMesh.start((hub, state) => new Mesh(hub, state), options, platform, transports)
    const { finder, settings, shown } = mesh.hub
    const { network, open, discovery } = settings
    const where = shown.join(", ") || "nowhere"
    const ways = discovery.map(({ name }) => name).join(", ") || "nothing"
    const reach = open ? "open to other hosts" : "on this host alone"
    finder.log("info", `joins network ${network}, ${reach}; listens at ${where}; finds others by ${ways}`)
    return mesh
  }
}

/**
 * Members at known endpoints, such as `tcp://10.0.0.5:4101`; one that answers is enough, the others are heard of from it. The
 * host name of a `tcp://` endpoint stands for all its addresses. Tried again for as long as the mesh lives. Throws EINVAL.
 */
export function seeds(...endpoints: string[]): Discovery {
  return platform.seeds(...endpoints)
}

export { ws } from "../../transports/ws.ts"
export { dns, type DnsOptions } from "./discovery/dns.node.ts"
export { mdns, type MdnsOptions } from "./discovery/mdns.node.ts"
export * from "./exports.ts"
