/**
 * The one error class. Codes are API and closed: each is in the table below with its meaning; messages are for people
 * and may change. libzmq's errno names are used where it has one.
 */

/** Every code, with what it means. */
export const codes = {
  EADDRINUSE: "the address is taken",
  EADDRNOTAVAIL: "the address is not one of this machine",
  EACCES: "the system does not permit it",
  EAGAIN: "it would have to wait: not now, timed out, or too many are waiting already",
  EBADF: "the socket is closed",
  EBUSY: "the socket is in another mode of use (onmessage beside receive)",
  ECANCELED: "the endpoint was disconnected, or the socket closed, before it was done",
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "the connection broke",
  EFSM: "not this socket's turn: requests and replies alternate, and request() excludes send and receive",
  EHOSTUNREACH: "no such peer, or no route to it",
  EINVAL: "an argument or endpoint that can never work",
  EMSGSIZE: "larger than the limit of this side or of the peer",
  ENODEV: "no such network interface",
  ENOENT: "no such endpoint on this socket",
  ENOTFOUND: "the host name has no address",
  ENOTSUP: "this platform or this pattern can't do it",
  EPROTO: "the peer broke the protocol",
  EPROTONOSUPPORT: "no such transport",
  ETIMEDOUT: "no answer in time",
  PEER_LOST: "the peer that was asked is gone, so its reply will not come",
  TIMEOUT: "the condition asked for did not come true in time",
  VERSION: "the peer speaks a ZMTP older than 3.0",
  MECHANISM: "the peer uses another security mechanism",
  INCOMPATIBLE: "the peer's socket type does not fit",
  REFUSED: "the peer refused the handshake with a reason of its own",
  AUTH_FAILED: "auth or authenticate threw, or gave what it may not",
  UNAUTHORIZED: "the other side refused our token twice: no more attempts until reconnect()",
  INSECURE_AUTH: "a token would have gone where others can read it",
  INSECURE_FROM_HTTPS: "a page from https may not reach a plain ws address",
  FORBIDDEN: "the listener's own rules turned the connection away (origin, host, limits)",
  INVALID_SUBJECT: "no subject that may be used here",
  ENCODE: "the codec can't encode this value",
  DECODE: "the codec can't decode these bytes, or is not here",
  TOO_LARGE: "larger than a limit",
  NO_RESPONDERS: "nobody serves this subject",
  BUSY: "all that serve this subject are full",
  REMOTE: "the handler threw",
  STATE_IN_USE: "another process uses this state",
  LIMIT: "a limit on connections, handshakes or subscriptions was reached",
} as const

/** One of the codes of the table `codes`. */
export type ErrorCode = keyof typeof codes

/** Thrown and rejected by everything in Earshot, but for the `AbortSignal`'s own reason. */
export class EarshotError extends Error {
  /** From the closed table `codes`. */
  readonly code: ErrorCode
  constructor(code: ErrorCode, message?: string, cause?: unknown) {
    super(message ?? codes[code], cause === undefined ? undefined : { cause })
    this.name = "EarshotError"
    this.code = code
  }
}

/** An error of the platform, as ours: its own code where the table has it, else `fallback`. */
export function wrap(error: unknown, fallback: ErrorCode, message?: string): EarshotError {
  if (error instanceof EarshotError) return error
  const { code, message: text } = (error ?? {}) as { code?: unknown; message?: unknown }
  const known = typeof code === "string" && Object.hasOwn(codes, code) ? (code as ErrorCode) : fallback
  return new EarshotError(known, message ?? (typeof text === "string" ? text : codes[known]), error)
}

/** What an attempt rejects with that its signal ended: the signal's reason, where that is an error of ours. */
export function abortError(signal: AbortSignal): EarshotError {
  return signal.reason instanceof EarshotError
    ? signal.reason
    : new EarshotError("ECANCELED", "the attempt to connect was aborted", signal.reason)
}
