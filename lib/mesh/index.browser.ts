/**
 * `earshot/mesh` for browsers and their workers: the same names as on Node. A page can't listen, so it is a leaf: it reaches
 * the mesh through a member that listens with `ws({ server, path: "/earshot" })`, at its own origin unless told otherwise.
 */
import { webSockets } from "../../transports/ws.browser.ts"
import { transports } from "../defaults.ts"
import { Mesh as BaseMesh } from "./mesh.ts"
import type { MeshOptions } from "./options.ts"
import { platform } from "./platform.browser.ts"

transports.register(webSockets("ws"))
transports.register(webSockets("wss"))

/** One member of a mesh. Made by `Mesh.join`. */
export class Mesh extends BaseMesh {
  /**
   * Begins to look for a member that carries it; waits for none. What is published before it is linked waits for up to
   * `settle` ms. Rejects EINVAL, and ENOTSUP for `state`.
   */
  static join(options: MeshOptions = {}): Promise<Mesh> {
    return BaseMesh.start((hub, state) => new Mesh(hub, state), options, platform, transports)
  }
}

export { ws } from "../../transports/ws.browser.ts"
export * from "./exports.ts"
