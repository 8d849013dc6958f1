/** What users may say of a WebSocket, on either side. No type of Node's stands here: pages read these declarations, too. */

/** A server of node:http or node:https, as far as it matters here. */
export interface UpgradeServer {
  on(event: "upgrade", listener: (...args: any[]) => void): unknown
  off(event: "upgrade", listener: (...args: any[]) => void): unknown
  listenerCount(event: "upgrade"): number
  address(): unknown
}

/** Options of node:tls: these, and whatever else `tls.createServer` and `tls.connect` take. */
export interface TlsSettings {
  /** The private key, in PEM. */
  readonly key?: unknown
  /** The certificate, in PEM. */
  readonly cert?: unknown
  /** Certificates of the authorities to trust, in PEM. Default: those of the system. */
  readonly ca?: unknown
  readonly [option: string]: unknown
}

/** Who may come in, for places that listen. */
export interface WsRules {
  /**
   * Origins of web pages that may connect, beside those of this very host: `https://app.example.org`, `null` for pages
   * without one (from files, in sandboxes), `*` for all. Default: none.
   */
  readonly origins?: readonly string[] | undefined
  /**
   * Names under which clients may reach this server, beside IP addresses, `localhost` and the machine's own name; a Host
   * header with another one is refused, since a hostile page may have made a name of its own point here. `*`: any. Default: none.
   */
  readonly hosts?: readonly string[] | undefined
  /**
   * A reverse proxy stands in front, and its `Forwarded` or `X-Forwarded-*` headers tell the client's address, host and
   * scheme: true for whoever connects, or the addresses of proxies (`10.0.0.2`, `10.0.0.0/8`). Default: false.
   */
  readonly trustProxy?: boolean | readonly string[] | undefined
  /** Connections at a time. Default: 10,000. */
  readonly maxConnections?: number | undefined
  /** The same for one remote address other than loopback. Default: 256. */
  readonly maxConnectionsPerAddress?: number | undefined
  /** Upgrades a second, and at once after a quiet second. Default: 500. */
  readonly upgradesPerSecond?: number | undefined
  /** For `wss`: certificate and key to listen, certificate authorities to connect, and whatever else node:tls takes. */
  readonly tls?: TlsSettings | undefined
}

/** Where a WebSocket is, and who may come in: the argument of `ws()`. */
export interface WsOptions extends WsRules {
  /** `ws://*:8080/live`: a port of our own, or what to connect to. */
  readonly url?: string | undefined
  /** Instead of `url`: a server of node:http or node:https, the user's own, which need not listen yet. */
  readonly server?: UpgradeServer | undefined
  /** On that server. Default: `/`. */
  readonly path?: string | undefined
}
