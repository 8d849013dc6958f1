// What `@libp2p/noise` means to the tests on Bun: as README.md tells its users to make it there, on every node alike.
import { noise as make, pureJsCrypto } from "../../node_modules/@libp2p/noise/dist/src/index.js"

export { pureJsCrypto }

export function noise(options: object = {}): ReturnType<typeof make> {
  return make({ ...options, crypto: pureJsCrypto })
}
