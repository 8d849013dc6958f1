/** Discovery of a test mesh: whoever is there is told to everybody at once. */
import type { Discovery, DiscoveryHost } from "./contract.ts"

export class Board {
  private readonly hosts = new Set<DiscoveryHost>()

  /** For one member. */
  discovery(): Discovery {
    const { hosts } = this
    let own: DiscoveryHost | undefined
    const announce = (): void => {
      for (const other of hosts) if (own !== undefined && other !== own) tell(other, own)
    }
    const nudge = (): void => {
      for (const other of hosts) if (own !== undefined && other !== own) tell(own, other)
    }
    return {
      name: "test",
      start: async (host) => {
        own = host
        hosts.add(host)
        announce()
        nudge()
      },
      nudge,
      announce,
      stop: async () => {
        if (own !== undefined) hosts.delete(own)
        own = undefined
      },
    }
  }
}

function tell(host: DiscoveryHost, { self }: DiscoveryHost): void {
  const { id, endpoints, network, version } = self
  host.found({ id, endpoints, network, version })
}
