/**
 * The sockets at work, `npm run sockets`: several processes exchange messages over every pattern and transport of the
 * sockets, and this one checks that each message arrived, once and in the right place. Ends by itself in about twelve
 * seconds: with exit code 0, or with 1 and the reason when a message was lost or a process failed.
 *
 *   npm run sockets                     everything
 *   npm run sockets -- --quick          the same with fewer messages
 *   npm run sockets -- --only pair      one act
 *   npm run sockets -- --break lose     breaks something on purpose (lose, twice, crash), to see that it is noticed
 */
import { parseArgs } from "node:util"
import { broker } from "./sockets/broker.ts"
import { letters } from "./sockets/letters.ts"
import { libzmq } from "./sockets/libzmq.ts"
import { news } from "./sockets/news.ts"
import { pair } from "./sockets/pair.ts"
import { questions } from "./sockets/questions.ts"
import { relay } from "./sockets/relay.ts"
import { Failure, Part, Stage, plain, type Act, type Breakage } from "./sockets/stage.ts"
import { web } from "./sockets/web.ts"
import { within } from "./sockets/within.ts"
import { work } from "./sockets/work.ts"

const acts: readonly Act[] = [work, news, relay, questions, letters, broker, pair, within, web, libzmq]

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { quick: { type: "boolean" }, only: { type: "string" }, break: { type: "string" } },
  })
  const chosen = acts.filter(({ name }) => values.only === undefined || values.only === name)
  if (chosen.length === 0) {
    console.error(`There is no act ${values.only}; there are ${acts.map(({ name }) => name).join(", ")}.`)
    return 2
  }
  console.log(`Earshot on Node ${process.versions.node}: this is process ${process.pid}, and others join it.`)

  const started = performance.now()
  let messages = 0
  for (const [index, act] of chosen.entries()) {
    console.log(`\n${index + 1}. ${act.title}\n   ${act.purpose}`)
    const stage = new Stage(act, values.quick === true, values.break as Breakage)
    try {
      messages += await Promise.race([act.run(stage), stage.failed])
    } catch (error) {
      stage.kill()
      console.error(`\nFAILED in "${act.title}": ${error instanceof Failure ? error.message : String(error)}`)
      // What the act left behind has no end of its own.
      process.exit(1)
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`\nAll is well: ${plain(messages)} messages in ${seconds} s, each arrived once and where it should.`)
  return 0
}

const [command, name, part, settings = "{}"] = process.argv.slice(2)
if (command === "child") {
  const play = acts.find((act) => act.name === name)?.parts[part ?? ""]
  if (play === undefined) throw new Failure(`there is no part ${part} in the act ${name}`)
  const own = new Part(JSON.parse(settings) as Record<string, string>)
  await play(own)
  own.over()
} else process.exitCode = await main()
