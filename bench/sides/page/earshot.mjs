// A page that subscribes to everything and takes the time: ours.
import { Subscriber } from "../../../dist/lib/index.browser.js"
import { tally } from "./tally.mjs"

const count = tally()
const subscriber = new Subscriber()
subscriber.onmessage = (message) => count(message[0].length)
void subscriber.subscribe("")
void subscriber.connect(`ws://${location.host}/feed`)
