/** The transports that sockets use. The composition root registers those of its platform. */
import { Transports } from "./endpoint.ts"

/** Of all sockets of this program, by scheme: `transports.register(mine)` adds one of your own. */
export const transports: Transports = new Transports()
