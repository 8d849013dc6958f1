/** The transports that sockets use. The composition root registers those of its platform. */
import { Transports } from "./endpoint.ts"

export const transports: Transports = new Transports()
