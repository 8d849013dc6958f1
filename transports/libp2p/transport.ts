/** The transport, whoever has the node. */
import type { Transport } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { formatAddress, parseAddress } from "./address.ts"
import { dial } from "./dialling.ts"
import type { Keeper } from "./keeper.ts"
import { completePromise } from "./library.ts"
import { bind } from "./listening.ts"
import type { Means } from "./use.ts"

/** As many as Yamux takes by default; libp2p's own 32 in and 64 out would reset the 33rd socket of a host. */
const MAX_STREAMS = 1000

/** `nowhere`: why nothing can be bound. Throws EINVAL. */
export function transportOver(
  keeper: Keeper,
  ownHosts: Means["ownHosts"],
  { maxStreams = MAX_STREAMS, nowhere }: { readonly maxStreams?: number | undefined; readonly nowhere?: string },
): Transport {
  if (!Number.isInteger(maxStreams) || maxStreams < 1) throw new EarshotError("EINVAL", "maxStreams is a whole number")
  completePromise()
  const limits = { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams, runOnLimitedConnection: true }
  const means: Means = { keeper, limits, ownHosts }
  return {
    scheme: "libp2p",
    check: (address, side) => formatAddress(parseAddress(address, side)),
    dial: (address, { clock }, signal) => dial(address, { ...means, clock }, signal),
    listen: async (address, { clock }, onLink, onError, onRefused) => {
      parseAddress(address, "bind")
      if (nowhere !== undefined) throw new EarshotError("EINVAL", nowhere)
      return bind(address, { ...means, clock }, { onLink, onError, onRefused })
    },
  }
}
