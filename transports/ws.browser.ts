/**
 * WebSockets over the platform's own class, as pages, Web Workers and SharedWorkers have it: for dialling. Speaks our own
 * protocol (websocket/stream.ts), and bare ZWS 2.0 (RFC 45) with libzmq and jszmq.
 */
import type { Link, Place, Transport, TransportOptions } from "../lib/contract.ts"
import { abortError, EarshotError } from "../lib/errors.ts"
import { PageLink, type PageSocket } from "./websocket/page.ts"
import { PageSignals } from "./websocket/page-signals.ts"
import { EARSHOT, NAIVE, ZWS } from "./websocket/stream.ts"

/** ms after which a dial that is not open is given up. */
const DIAL = 5000

/** A WebSocket address as an endpoint: `socket.connect(ws({ url: "wss://device.example/earshot" }))`. Throws EINVAL. */
export function ws({ url }: { readonly url: string | URL }): Place {
  const [, scheme = "", address = ""] = /^(wss?):\/\/(.*)$/i.exec(String(url)) ?? []
  if (address === "") throw new EarshotError("EINVAL", `bad address for ws: ${String(url)}`)
  const transport = webSockets(scheme.toLowerCase() as "ws" | "wss")
  return { transport, address: transport.check(address, "connect") }
}

/** The transport `ws` or `wss`, whose addresses are `host:port/path`. */
export function webSockets(scheme: "ws" | "wss"): Transport {
  const signals = new PageSignals()

  const parse = (address: string): URL => {
    // What URL would repair in silence.
    if (/^(?![/?:])[^\s\\@#*]+$/.test(address))
      try {
        return new URL(`${scheme}://${address}`)
      } catch {}
    throw new EarshotError("EINVAL", `bad address for ${scheme}: ${address}`)
  }
  /** As on Node: always with the port, and with a path only where there is one. */
  const check = (address: string): string => {
    const { hostname, port, pathname, search } = parse(address)
    return `${hostname}:${port || (scheme === "ws" ? 80 : 443)}${pathname === "/" ? "" : pathname}${search}`
  }

  const dial = async (address: string, options: TransportOptions, signal: AbortSignal): Promise<Link> =>
    open(scheme, parse(check(address)), options, signal, signals)

  return { scheme, check, dial, redial: { interval: 250, maxInterval: 5000 }, onNudge: signals.onNudge }
}

function open(
  scheme: "ws" | "wss",
  url: URL,
  { clock, maxMessageSize = -1 }: TransportOptions,
  signal: AbortSignal,
  signals: PageSignals,
): Promise<Link> {
  const { WebSocket } = globalThis as { WebSocket?: new (url: string, protocols: string[]) => PageSocket }
  const local = /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname)
  const failed = (cause?: unknown): EarshotError =>
    scheme === "ws" && !local && ((globalThis as { origin?: string }).origin ?? "").startsWith("https:")
      ? new EarshotError(
          "INSECURE_FROM_HTTPS",
          `a page from https may not reach ${url.href}: serve the page from the device, or use wss with a certificate that the browser trusts, of the device or of a relay`,
          cause,
        )
      : new EarshotError("ECONNREFUSED", undefined, cause)

  return new Promise((resolve, reject) => {
    if (WebSocket === undefined) throw new EarshotError("ENOTSUP", "no WebSocket here")
    if (signal.aborted) throw abortError(signal)
    let socket: PageSocket
    try {
      socket = new WebSocket(url.href, [NAIVE, EARSHOT, ZWS])
    } catch (error) {
      throw failed(error)
    }
    const settle = (): void => {
      timer.cancel()
      signal.removeEventListener("abort", onAbort)
    }
    const give = (error: EarshotError): void => {
      settle()
      socket.onopen = socket.onclose = null
      socket.close()
      reject(error)
    }
    const onAbort = (): void => give(abortError(signal))
    const timer = clock.timeout(() => give(new EarshotError("ETIMEDOUT", `not open after ${DIAL} ms`)), DIAL)
    signal.addEventListener("abort", onAbort)
    socket.binaryType = "arraybuffer"
    // What it was is told to nobody: a page learns only that it failed.
    socket.onerror = () => {}
    socket.onclose = () => give(failed())
    socket.onopen = () => {
      if (![EARSHOT, ZWS, NAIVE].includes(socket.protocol))
        return give(new EarshotError("EPROTO", `not ${EARSHOT}, nor ${ZWS}`))
      settle()
      resolve(
        new PageLink(socket, {
          protocol: socket.protocol === EARSHOT ? "zmtp" : "zws-bare",
          remote: url.href,
          host: local ? undefined : url.hostname,
          secure: scheme === "wss",
          maxMessageSize,
          clock,
          signals,
        }),
      )
    }
  })
}
