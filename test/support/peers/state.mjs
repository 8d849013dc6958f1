// Opens the state that it is told, as built, and keeps it open until it is killed.
import { systemClock } from "../../../dist/lib/clock.js"
import { openState } from "../../../dist/lib/mesh/state.node.js"

try {
  const { id, epoch } = await openState(process.argv[2], systemClock)
  process.send({ id, epoch })
  process.on("message", () => {})
} catch ({ code }) {
  process.send({ code })
  process.disconnect()
}
