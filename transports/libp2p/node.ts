/**
 * What Earshot uses of a libp2p node (js-libp2p 3), in types of its own: who doesn't use libp2p needs none of its types,
 * and the node of a later version fits for as long as these parts of it do.
 */

/** A libp2p node, as `createLibp2p` makes it. */
export interface Libp2pNode {
  readonly peerId: { toString(): string }
  readonly status: string
  getMultiaddrs(): { toString(): string }[]
  getConnections(): Libp2pConnection[]
  dial(peer: any, options?: { signal?: AbortSignal; force?: boolean }): Promise<Libp2pConnection>
  handle(protocol: string, handler: (stream: any, connection: any) => void, options?: Libp2pStreamLimits): Promise<void>
  unhandle(protocol: string): Promise<void>
  stop(): unknown
  addEventListener(type: "stop", listener: () => void): void
  removeEventListener(type: "stop", listener: () => void): void
}

/** Streams of one protocol over one connection, and whether one may go through a relay that limits time and bytes. */
export interface Libp2pStreamLimits {
  readonly maxInboundStreams?: number
  readonly maxOutboundStreams?: number
  readonly runOnLimitedConnection?: boolean
}

/** A connection between two nodes; streams share it. */
export interface Libp2pConnection {
  readonly status: string
  readonly remotePeer: { toString(): string }
  readonly remoteAddr: { toString(): string }
  /** The protocol that encrypts it; undefined where its transport does (QUIC, WebRTC). */
  readonly encryption?: string | undefined
  /** All that are open, whatever they speak. */
  readonly streams: readonly unknown[]
  newStream(protocol: string, options?: Libp2pStreamLimits & { signal?: AbortSignal }): Promise<Libp2pStream>
}

/** A stream over a connection. Events: message, drain, remoteCloseWrite, close. */
export interface Libp2pStream {
  readonly status: string
  readonly remoteWriteStatus: string
  readonly writableNeedsDrain: boolean
  readonly readBufferLength: number
  maxReadBufferLength: number
  maxWriteBufferLength?: number
  /** Of Yamux's streams, behind their public face: bytes up to which it opens the window. */
  maxStreamWindowSize?: number
  /** The same: ms to the other side and back, -1 while that is not known. */
  getRTT?(): number
  /** The same: no reports of room in the window, until `sendResume`. Events go on. */
  sendPause?(): void
  sendResume?(): void
  /** False: taken, and no more until `drain`. Throws where nothing can be written any more. */
  send(bytes: Uint8Array): boolean
  /** Ends writing behind what was sent; resolves when that has left. */
  close(): Promise<void>
  abort(error: Error): void
  pause(): void
  resume(): void
  addEventListener(type: string, listener: (event: any) => void): void
}
