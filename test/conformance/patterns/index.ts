/**
 * What every socket type must do, on every transport: libzmq's semantics (WIRE 1.4, 1.5, 1.12, 1.13), and where SOCKETS.md
 * says otherwise, that. A transport's own test calls it with an endpoint to bind.
 */
import type { Test } from "tap"
import { balancing } from "./balancing.ts"
import { compatibility } from "./compatibility.ts"
import { endpoints } from "./endpoints.ts"
import { marks } from "./marks.ts"
import { messages } from "./messages.ts"
import { pairing } from "./pairing.ts"
import { pubsub } from "./pubsub.ts"
import { relaxing } from "./relaxing.ts"
import { reqrep } from "./reqrep.ts"
import { requesting } from "./requesting.ts"
import { routing } from "./routing.ts"
import type { Subject } from "./support.ts"
import { xpubsub } from "./xpubsub.ts"

const families: Record<string, (t: Test, subject: Subject) => void> = {
  compatibility,
  balancing,
  marks,
  pubsub,
  xpubsub,
  reqrep,
  relaxing,
  requesting,
  routing,
  pairing,
  messages,
  endpoints,
}

export function patternConformance(t: Test, subject: Subject): void {
  for (const [name, family] of Object.entries(families))
    t.test(`${subject.name}: ${name}`, (t) => {
      family(t, subject)
      t.end()
    })
}
