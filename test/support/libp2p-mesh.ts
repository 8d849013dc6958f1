/** Members of a mesh over libp2p in one process: each has transports of its own, with a node of its own. */
import { createLibp2p, type Libp2p, type Libp2pOptions } from "libp2p"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import type { Test } from "tap"
import { Transports } from "../../lib/endpoint.ts"
import { readEnvironment } from "../../lib/mesh/environment.node.ts"
import { Mesh } from "../../lib/mesh/mesh.ts"
import type { MeshOptions } from "../../lib/mesh/options.ts"
import { platform } from "../../lib/mesh/platform.node.ts"
import { libp2p } from "../../transports/libp2p.ts"
import { tcp as plainTcp } from "../../transports/tcp.ts"
import { completePromise } from "../../transports/libp2p/library.ts"

completePromise()

/** What the environment says of meshes is left out. */
const own = { ...platform, environment: () => readEnvironment({}) }

class Member extends Mesh {
  static over(node: Libp2p, options: MeshOptions): Promise<Mesh> {
    const transports = new Transports()
    transports.register(libp2p({ node }))
    transports.register(plainTcp())
    return Mesh.start((hub, state) => new Member(hub, state), options, own, transports)
  }
}

/** A node that is stopped with its test, on loopback unless told otherwise. */
export async function nodeFor(t: Test, options: Partial<Libp2pOptions<any>> = {}): Promise<Libp2p<any>> {
  const node = await createLibp2p({
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    ...options,
    connectionManager: { inboundConnectionThreshold: 1000, ...options.connectionManager },
  })
  t.teardown(() => node.stop())
  return node
}

/** Joins by `libp2p://#mesh` alone, unless told otherwise; closed with its test. */
export async function memberOver(t: Test, node: Libp2p, options: MeshOptions = {}): Promise<Mesh> {
  const listen = ["libp2p://#mesh"]
  const mesh = await Member.over(node, { network: "libp2p-test", listen, discovery: [], observe: false, ...options })
  t.teardown(() => mesh.close())
  return mesh
}
