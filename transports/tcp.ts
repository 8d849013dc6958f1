/**
 * TCP. Addresses (libzmq's zmq_tcp(7), and zones):
 *   bind      127.0.0.1:5555   *:5555   *:*   [::1]:5555   [fe80::1%eth0]:*   eth0:5555   localhost:5555
 *   connect   127.0.0.1:5555   example.org:5555   [fe80::1%eth0]:5555   and, before it, where to come from:
 *             192.168.1.17:0;192.168.1.1:5555   eth0:*;example.org:5555
 * `*` is every IPv4 address, as with libzmq; `[::]` is every address of both families.
 */
import * as net from "node:net"
import type { Clock, Timer } from "../lib/clock.ts"
import type { Link, Listener, Transport, TransportOptions } from "../lib/contract.ts"
import { abortError, EarshotError, wrap } from "../lib/errors.ts"
import { bindHost, interfaceAddresses, resolveName, type Address } from "./names.node.ts"
import { dialSocket, listenServer, NetLink } from "./net.ts"
import { adopt, type Reader } from "./reading.ts"

/** ms until the next address of a host is tried beside the first (RFC 8305, 5: Connection Attempt Delay). */
const ATTEMPT_DELAY = 250

/** The transport `tcp`. */
export function tcp(): Transport {
  return { scheme: "tcp", check: (address, side) => format(parse(address, side)), dial, listen }
}

// --- Addresses ---

interface Place {
  /** `*`, an IP address, or a name. */
  readonly host: string
  /** 0: any. */
  readonly port: number
}

interface Target extends Place {
  readonly source?: Place
}

function parse(address: string, side: "bind" | "connect"): Target {
  const refuse = (why: string): EarshotError =>
    new EarshotError("EINVAL", `can't ${side} ${side === "connect" ? "to " : ""}tcp://${address}: ${why}`)
  const [first = "", second, ...more] = address.split(";")
  if (side === "bind") {
    if (second !== undefined) throw refuse("a source address is for connecting")
    return place(first, refuse)
  }
  if (more.length > 0) throw refuse("more than one ;")
  const target = place(second ?? first, refuse)
  if (target.host === "*") throw refuse("* is for binding; say where to connect to")
  if (target.port === 0) throw refuse("a port is needed")
  return second === undefined ? target : { ...target, source: place(first, refuse) }
}

function place(text: string, refuse: (why: string) => EarshotError): Place {
  const match = /^(\[.*\]|[^[\]:]*):([^:\]]*)$/.exec(text)
  if (match === null)
    throw refuse(text.includes(":") ? "IPv6 addresses stand in brackets, and a port behind them" : "a port is needed")
  const [, host = "", port = ""] = match
  if (port !== "*" && !/^\d{1,5}$/.test(port)) throw refuse("the port is neither a number nor *")
  if (Number(port) > 65_535) throw refuse("ports end at 65535")
  return { host: hostOf(host, refuse), port: port === "*" ? 0 : Number(port) }
}

function hostOf(text: string, refuse: (why: string) => EarshotError): string {
  if (text.startsWith("[")) {
    const [ip = "", zone, ...more] = text.slice(1, -1).split("%")
    if (!net.isIPv6(ip) || more.length > 0 || (zone !== undefined && !/^[\w.@:-]+$/.test(zone)))
      throw refuse("there is no IPv6 address in the brackets")
    return zone === undefined ? shortest(ip) : `${shortest(ip)}%${zone}`
  }
  if (text === "*" || net.isIPv4(text)) return text
  // Not the legacy forms of inet_aton, `127.1`, that some resolvers take.
  if (text === "" || /^[\d.]+$/.test(text)) throw refuse("there is no host")
  if (text.length > 253 || !/^[\p{L}\p{N}_][\p{L}\p{N}\p{M}_.-]*$/u.test(text)) throw refuse("the host is no name")
  return text
}

/** The one spelling of an IPv6 address (RFC 5952), so that it names an endpoint. */
function shortest(ip: string): string {
  return new URL(`tcp://[${ip}]`).hostname.slice(1, -1)
}

function format({ host, port, source }: Target): string {
  // Not net.isIPv6, which knows no zone with _ or @ in it: such interfaces there are.
  const target = `${host.includes(":") ? `[${host}]` : host}:${port === 0 ? "*" : port}`
  return source === undefined ? target : `${format(source)};${target}`
}

// --- Names ---

/** Nobody is at "any address"; connecting to it means this machine on most systems, and nothing on Windows. */
const somewhere: ReadonlyMap<string, string> = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "::1"],
])

/** The ways to try, in order: each address of the host, from a source address of its family. */
async function routesTo({ host, port, source }: Target): Promise<net.TcpNetConnectOpts[]> {
  const ip = somewhere.get(host) ?? host
  const family = net.isIP(ip)
  const found = family === 0 ? await resolveName(ip) : [{ address: ip, family }]
  if (source === undefined) return found.map(({ address }) => ({ host: address, port }))
  const local = source.port === 0 ? {} : { localPort: source.port }
  if (source.host === "*") return found.map(({ address }) => ({ host: address, port, ...local }))
  const own = sourceAddresses(source.host)
  const routes = found.flatMap(({ address, family }) => {
    const from = own.find((candidate) => candidate.family === family)
    return from === undefined ? [] : [{ host: address, port, localAddress: from.address, ...local }]
  })
  if (routes.length === 0)
    throw new EarshotError("EADDRNOTAVAIL", `${source.host} has no address to reach ${host} from`)
  return routes
}

function sourceAddresses(host: string): Address[] {
  const family = net.isIP(host)
  const own = family === 0 ? interfaceAddresses(host) : [{ address: host, family }]
  if (own.length === 0) throw new EarshotError("ENODEV", `no network interface ${host}`)
  return own
}

// --- Dialling and listening ---

async function dial(address: string, options: TransportOptions, signal: AbortSignal): Promise<Link> {
  const { clock } = options
  const routes = await unlessAborted(routesTo(parse(address, "connect")), signal)
  const common = socketOptions(options)
  const link = await race(routes, clock, signal, (route, signal) =>
    dialSocket({ ...route, ...common }, signal, (socket, reader) => {
      tune(socket, options)
      return linkOver(socket, reader, clock, route)
    }),
  )
  if (!signal.aborted) return link
  link.destroy()
  throw abortError(signal)
}

async function listen(
  address: string,
  options: TransportOptions,
  onLink: (link: Link) => void,
  onError: (error: Error) => void,
): Promise<Listener> {
  const { host, port } = parse(address, "bind")
  const ip = await bindHost(host)
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (accepted) => {
    const { socket, reader } = adopt(accepted)
    tune(socket, options)
    if (socket.remoteAddress !== undefined) return onLink(linkOver(socket, reader, options.clock))
    // Reset between the system's accept and ours.
    socket.on("error", () => {})
    socket.destroy()
  })
  await listenServer(server, { host: ip, port, backlog: options.backlog }, onError)
  const bound = server.address() as net.AddressInfo
  return {
    address: format({ host: bound.address, port: bound.port }),
    // node:net's own callback waits for the accepted connections, too.
    close: async () => void server.close(),
  }
}

function socketOptions({ keepalive }: TransportOptions) {
  // Whole seconds, and none is none: below 1 s the system refuses.
  return keepalive <= 0
    ? { noDelay: true, keepAlive: false }
    : { noDelay: true, keepAlive: true, keepAliveInitialDelay: Math.max(1000, keepalive) }
}

/** For accepted sockets; for others the same again: Deno leaves options of `connect` unread, Node does nothing twice. */
function tune(socket: net.Socket, { keepalive }: TransportOptions): void {
  socket.setNoDelay(true)
  if (keepalive > 0) socket.setKeepAlive(true, Math.max(1000, keepalive))
}

function linkOver(
  socket: net.Socket,
  reader: Reader | undefined,
  clock: Clock,
  route?: net.TcpNetConnectOpts,
): NetLink {
  const ip = (socket.remoteAddress ?? route?.host ?? "").replace(/^::ffff:(?=\d+\.)/i, "")
  const local = ip.startsWith("127.") || ip === "::1"
  const remote = `tcp://${format({ host: ip, port: socket.remotePort ?? route?.port ?? 0 })}`
  return new NetLink(socket, reader, remote, local ? undefined : ip, clock)
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal))
    if (signal.aborted) onAbort()
    signal.addEventListener("abort", onAbort)
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort))
  })
}

/** The first link of several attempts, each begun when the one before has failed or had its head start. */
export function race<T>(
  routes: readonly T[],
  clock: Clock,
  signal: AbortSignal,
  attempt: (route: T, signal: AbortSignal) => Promise<Link>,
): Promise<Link> {
  const [only] = routes
  if (routes.length === 1) return attempt(only!, signal)
  return new Promise((resolve, reject) => {
    const rest = new AbortController()
    const stop = (): void => rest.abort(signal.reason)
    let begun = 0
    let failed = 0
    let cause: unknown
    let timer: Timer | undefined
    const end = (): void => {
      timer?.cancel()
      signal.removeEventListener("abort", stop)
      rest.abort()
    }
    const begin = (): void => {
      timer?.cancel()
      attempt(routes[begun++]!, rest.signal).then(
        (link) => {
          if (rest.signal.aborted) return link.destroy()
          end()
          resolve(link)
        },
        (error: unknown) => {
          cause ??= error
          failed++
          if (begun < routes.length && !rest.signal.aborted) return begin()
          if (failed < begun) return
          end()
          reject(signal.aborted ? abortError(signal) : wrap(cause, "EHOSTUNREACH"))
        },
      )
      if (begun < routes.length) timer = clock.timeout(begin, ATTEMPT_DELAY)
    }
    signal.addEventListener("abort", stop)
    if (signal.aborted) stop()
    begin()
  })
}
