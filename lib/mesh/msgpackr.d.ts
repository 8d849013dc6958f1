/** For tsconfig.browser.json: msgpackr's own declarations want Node's types. `msgpack.ts` says what it uses. */
export const Packr: new (options: object) => object
export const REUSE_BUFFER_MODE: number
export const RESERVE_START_SPACE: number
