/** The addresses of this host's interfaces. */
import { networkInterfaces } from "node:os"

/** Empty where the system refuses to tell. */
export function ownHosts(): ReadonlySet<string> {
  try {
    return new Set(Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => address)))
  } catch {
    return new Set()
  }
}
