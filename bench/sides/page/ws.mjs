// A page that takes one WebSocket message for each of ours.
import { tally } from "./tally.mjs"

const count = tally()
const socket = new WebSocket(`ws://${location.host}/feed`)
socket.binaryType = "arraybuffer"
socket.onmessage = ({ data }) => count(data.byteLength)
