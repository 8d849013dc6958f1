/** What the mesh needs of a page or a worker. Nothing is touched before a mesh is joined: servers import this, too. */
import { systemClock } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { Discovery, Fate, Platform } from "./contract.ts"
import { seeds } from "./discovery/seeds.ts"
import { freshId } from "./identity.ts"
import { Relay } from "./relay.ts"
import { isLocalPeer, keepPeersLocal } from "./peers.ts"

/** Where a server of the page's own origin takes members in, unless told otherwise. */
const PATH = "/earshot"

interface Page {
  /** "null" for files and sandboxed frames. */
  readonly origin?: string
  readonly document?: Pick<EventTarget, "addEventListener" | "removeEventListener"> & {
    readonly visibilityState?: string
  }
  addEventListener?(type: string, listener: (event: { readonly persisted?: boolean }) => void, capture: boolean): void
  removeEventListener?(
    type: string,
    listener: (event: { readonly persisted?: boolean }) => void,
    capture: boolean,
  ): void
}

export const platform: Platform = {
  environment: () => ({
    name: `page-${freshId(systemClock).slice(0, 6)}`,
    // A page can't listen: it is a leaf.
    listen: [],
    discovery: () => [origin()],
  }),
  seeds,
  // One that listens (over libp2p) may be closed at any time: it carries nobody.
  relay: (owner) => new Relay(owner),
  // A page dials what it was given, and of what it hears only what was advertised.
  isLocal: (endpoint) =>
    isLocalPeer(endpoint) || (/^wss?:/.test(endpoint) && !(endpoint.startsWith("ws:") && isSecure())),
  // A libp2p node knows itself whom it can reach.
  advertisedOnly: (endpoint) => !endpoint.startsWith("libp2p:"),
  addresses: (endpoint) => [endpoint],
  keepLocal: keepPeersLocal,
  watch,
  log: (line) => console.warn(line),
}

/** The page's own server, over TLS where the page came so. */
function origin(): Discovery {
  const { origin = "null" } = globalThis as Page
  const [, secure, host] = /^http(s?):\/\/(.+)$/.exec(origin) ?? []
  if (host !== undefined) return seeds(`ws${secure}://${host}${PATH}`)
  return {
    name: "origin",
    async start() {
      throw new EarshotError(
        "EINVAL",
        `this page has no server of its own: pass discovery: [seeds("wss://host${PATH}")] to Mesh.join`,
      )
    },
    async stop() {},
  }
}

/** From a page that came over https a browser lets nobody use ws://, but to the machine itself. */
function isSecure(): boolean {
  return ((globalThis as Page).origin ?? "").startsWith("https:")
}

function watch(fate: Fate): () => void {
  const page = globalThis as Page
  const { document } = page
  const onHide = ({ persisted }: { readonly persisted?: boolean }): void => {
    // Kept for the way back, it may come back as it is.
    if (persisted !== true) fate.end()
  }
  const onBack = (): void => {
    if (document?.visibilityState !== "hidden") fate.wake()
  }
  // Ahead of the transport, which ends its links then.
  page.addEventListener?.("pagehide", onHide, true)
  page.addEventListener?.("pageshow", onBack, true)
  page.addEventListener?.("online", onBack, true)
  document?.addEventListener("visibilitychange", onBack)
  return () => {
    page.removeEventListener?.("pagehide", onHide, true)
    page.removeEventListener?.("pageshow", onBack, true)
    page.removeEventListener?.("online", onBack, true)
    document?.removeEventListener("visibilitychange", onBack)
  }
}
