/** What is used of a libp2p node (js-libp2p 3) and its pubsub service, in types of our own: nobody else needs libp2p's. */

/** A libp2p node with a pubsub service, as `createLibp2p({ services: { pubsub: gossipsub(), identify: identify() } })` makes it. */
export interface PubsubNode {
  readonly peerId: PubsubPeer
  readonly status: string
  readonly services: { readonly pubsub: PubsubService }
  getConnections(): readonly PubsubConnection[]
  addEventListener(type: "stop", listener: () => void): void
  removeEventListener(type: "stop", listener: () => void): void
}

/** A peer id. */
export interface PubsubPeer {
  toString(): string
  equals(other: any): boolean
}

/** A connection of the node, and its streams. */
export interface PubsubConnection {
  readonly remotePeer: PubsubPeer
  readonly streams: readonly { readonly protocol: string; readonly direction: string; readonly status: string }[]
}

/** The part of `@libp2p/gossipsub` 17 that is used; another engine with the same part will do. */
export interface PubsubService {
  readonly globalSignaturePolicy: string
  /** Protocols that it speaks. */
  readonly protocols: readonly string[]
  /** By topic: judges each message of others that is well signed and new here, before it is passed on. */
  readonly topicValidators: Map<string, (peer: any, message: any) => any>
  getTopics(): string[]
  /** Connected peers that are subscribed. */
  getSubscribers(topic: string): PubsubPeer[]
  /** Throws where it is not started. */
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  publish(topic: string, data: Uint8Array): Promise<{ readonly recipients: readonly PubsubPeer[] }>
  addEventListener(type: "subscription-change", listener: () => void): void
  removeEventListener(type: "subscription-change", listener: () => void): void
}

/** A message whose signature the engine has verified. */
export interface SignedMessage {
  readonly type: string
  /** Who published it. */
  readonly from: PubsubPeer
  readonly data: Uint8Array
}
