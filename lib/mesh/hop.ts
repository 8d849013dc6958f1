/** The rule of one hop: what comes from a member goes to us and our own leaves only, what comes from a leaf to everybody. So no loops. */
import type { Member } from "./member.ts"
import type { Party } from "./routes.ts"

export function mayPass(from: Member, party: Party): boolean {
  return party !== from && (from.leaf || party === undefined || party.leaf)
}

export function partiesFor(from: Member, parties: readonly Party[]): Party[] {
  return parties.filter((party) => mayPass(from, party))
}
