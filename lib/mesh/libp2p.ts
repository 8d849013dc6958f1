/** `earshot/mesh/libp2p`: members found among the peers of a libp2p node. It needs no package itself: the node is the user's. */
import "../runtime.ts"

export {
  libp2pPeers,
  type KnownPeer,
  type PeerConnection,
  type PeerPlace,
  type PeersNode,
  type PeersOptions,
} from "./discovery/libp2p.ts"
export type { Announcement, Candidate, Discovery, DiscoveryHost, Finding } from "./contract.ts"
