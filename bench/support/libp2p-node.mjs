// One libp2p node as both sides of the bench have it: TCP, Noise, Yamux, on 127.0.0.1, everything else libp2p's own default.
import { missing } from "./role.mjs"

// What Node 20 has not, and libp2p needs.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((first, second) => ([resolve, reject] = [first, second]))
  return { promise, resolve, reject }
}

const absent = () => missing("missing: the npm packages of libp2p are not installed")

/** Started. `services`: of libp2p, none by default. */
export async function makeNode(services = {}) {
  const [{ createLibp2p }, { tcp }, { noise }, { yamux }] = await Promise.all([
    import("libp2p"),
    import("@libp2p/tcp"),
    import("@libp2p/noise"),
    import("@libp2p/yamux"),
  ]).catch(absent)
  return await createLibp2p({
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services,
  })
}

/** Where it listens, as text. */
export function placeOf(node) {
  return node.getMultiaddrs()[0].toString()
}

/** A text as what `dial` wants. */
export async function addressOf(text) {
  const { multiaddr } = await import("@multiformats/multiaddr").catch(absent)
  return multiaddr(text)
}

/** The same with gossipsub, for which it has the options of npm `@libp2p/gossipsub`. */
export async function makePubsubNode(options = {}) {
  const [{ gossipsub }, { identify }] = await Promise.all([
    import("@libp2p/gossipsub"),
    import("@libp2p/identify"),
  ]).catch(() => missing("missing: npm @libp2p/gossipsub and @libp2p/identify are not installed"))
  return await makeNode({ identify: identify(), pubsub: gossipsub(options) })
}

/** Its streams out to others that have one: gossipsub writes to these, and asks nobody whether they take it. */
export function pubsubStreams(node) {
  const streams = node.getConnections().flatMap((connection) => connection.streams)
  return streams.filter(({ protocol, direction }) => protocol.startsWith("/meshsub/") && direction === "outbound")
}
