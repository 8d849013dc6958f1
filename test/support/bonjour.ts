/** bonjour-service as it is, to show the faults that ours must not have. */
import Bonjour from "bonjour-service"

export const { Browser } = Bonjour

/** One on loopback; options of multicast-dns go through it, and its types don't say so. */
export function bareBonjour(options: { port: number; bind?: string }): Bonjour {
  return new Bonjour({ ...options, interface: "127.0.0.1" } as object, () => {})
}
