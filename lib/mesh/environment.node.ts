/** The variables EARSHOT_…, for what options leave open. */
import { hostname } from "node:os"
import { EarshotError } from "../errors.ts"
import type { Discovery, Environment } from "./contract.ts"
import { dns, resolveName } from "./discovery/dns.node.ts"
import { mdns } from "./discovery/mdns.node.ts"
import { seedsWith } from "./discovery/seeds.ts"

type Variables = Readonly<Record<string, string | undefined>>

export function readEnvironment(variables: Variables): Environment {
  for (const name of ["EARSHOT_SECRET", "EARSHOT_SECRET_FILE"])
    if (variables[name] !== undefined)
      throw new EarshotError("EINVAL", `${name} is set, and this version knows no secrets`)
  const log = variables["EARSHOT_LOG"]
  return {
    name: variables["EARSHOT_NAME"] ?? `${hostname()}-${process.pid}`,
    network: variables["EARSHOT_NETWORK"],
    listen: list(variables["EARSHOT_LISTEN"]) ?? ["tcp://*:0"],
    advertise: list(variables["EARSHOT_ADVERTISE"]),
    discovery: () => discoveryOf(variables),
    state: variables["EARSHOT_STATE"],
    log: log === "info" || log === "debug" ? log : undefined,
  }
}

function discoveryOf(variables: Variables): Discovery[] {
  const seeds = list(variables["EARSHOT_SEEDS"]) ?? []
  const names = list(variables["EARSHOT_DNS"]) ?? []
  return [
    // A pod hears no multicast, and asking for it would only mislead.
    ...(variables["KUBERNETES_SERVICE_HOST"] === undefined ? [mdns()] : []),
    ...(seeds.length > 0 ? [seedsWith(resolveName, seeds)] : []),
    ...names.map(namedPlace),
  ]
}

/** `name`, or `name:port` where no SRV records bring the ports. */
function namedPlace(place: string): Discovery {
  const [, name = place, port] = /^(.+):(\d+)$/.exec(place) ?? []
  return dns(name, port === undefined ? {} : { port: Number(port) })
}

function list(text: string | undefined): string[] | undefined {
  return text
    ?.split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "")
}
