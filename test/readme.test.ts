// What README.md says is held against the code: its examples are compiled as users would and run, its tables of options,
// events, reasons and error codes are written from the sources, its variables are those that are read, its links lead somewhere.
import { spawn } from "node:child_process"
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import t, { type Test } from "tap"
import ts from "typescript"
import * as earshot from "../lib/index.ts"
import { standardSettings } from "../lib/options.ts"

t.setTimeout(120_000)

const root = fileURLToPath(new URL("../", import.meta.url))
let readme = readFileSync(join(root, "README.md"), "utf8")

// --- Examples ---

interface Example {
  readonly name: string
  readonly code: string
  /** What it prints: the block of text that follows it. */
  readonly prints: string
}

const examples: Example[] = [
  ...readme.matchAll(/^```ts\n\/\/ example: ([\w-]+)\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/gm),
].map(([, name, code, prints]) => ({ name: name!, code: code!, prints: prints! }))

t.test("every piece of code in the README is an example with a name and what it prints", async (t) => {
  // Files of the first mesh program are run by test/mesh/first.test.ts.
  const others = readme.replace(/^`\w+\.mjs`:\n\n```js\n[\s\S]*?^```$/gm, "")
  const code = [...others.matchAll(/^```(?:ts|js|mjs|typescript|javascript)\b.*\n.*/gm)].map(([block]) => block)
  t.strictSame(
    code,
    examples.map(({ name }) => `\`\`\`ts\n// example: ${name}`),
  )
  t.ok(examples.length >= 4, `${examples.length} examples`)
})

t.test("the examples of the README", async (t) => {
  // Within the repository, so that "earshot" is the build, as its package.json says.
  const folder = t.testdir()
  const files = examples.map(({ name, code }) => {
    const file = join(folder, `${name}.mts`)
    writeFileSync(file, code)
    return file
  })
  const program = ts.createProgram(files, {
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    lib: ["lib.es2022.d.ts"],
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
    skipLibCheck: true,
  })
  const problems = ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => folder,
    getNewLine: () => "\n",
  })
  t.equal(problems, "", "compile under strict rules")
  program.emit()
  for (const { name, prints } of examples) {
    const { code, out, errors } = await run(join(folder, `${name}.mjs`))
    t.equal(errors, "", `${name}: no complaints`)
    t.equal(code, 0, `${name}: ends by itself`)
    t.equal(out, prints, `${name}: prints what the README says`)
  }
})

/** The environment, in which examples of the mesh see nobody but each other. */
function environment(network: string): NodeJS.ProcessEnv {
  const plain = Object.entries(process.env).filter(([name]) => !name.startsWith("EARSHOT_"))
  return { ...Object.fromEntries(plain), EARSHOT_NETWORK: network }
}

function run(file: string): Promise<{ code: number | string | null; out: string; errors: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], {
      env: environment(`readme-${process.pid}-${basename(file)}`),
      timeout: 20_000,
      killSignal: "SIGKILL",
    })
    let out = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
    child.on("close", (code, signal) => resolve({ code: code ?? signal, out, errors }))
  })
}

// --- Tables ---

/** The table below a heading is this one. With UPDATE_README=1 it is written there. */
function tableIs(t: Test, heading: string, wanted: readonly string[]): void {
  const lines = readme.split("\n")
  const at = lines.findIndex((line) => line.replace(/^#+ /, "") === heading && line.startsWith("#"))
  if (at === -1) return (t.fail(`there is a heading "${heading}"`), undefined)
  const isNext = (line: string, index: number): boolean => index > at && /^(\||#)/.test(line)
  let begin = lines.findIndex(isNext)
  if (begin === -1 || lines[begin]!.startsWith("#")) begin = at + 2
  let end = begin
  while (lines[end]?.startsWith("|") === true) end++
  if (process.env["UPDATE_README"] === "1") {
    readme = lines.toSpliced(begin, end - begin, ...wanted, ...(begin === end ? [""] : [])).join("\n")
    writeFileSync(join(root, "README.md"), readme)
  } else t.strictSame(lines.slice(begin, end), wanted, `${heading} (UPDATE_README=1 writes it)`)
}

function table(...rows: readonly (readonly string[])[]): string[] {
  const [head = [], ...body] = rows.map((cells) => cells.map((cell) => cell.replaceAll("|", "\\|")))
  return [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`)
}

/** The members of an interface, or of a union or an object, with what their comments say. */
function described(file: string, name: string): { readonly name: string; readonly text: string }[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true)
  const found: { name: string; text: string }[] = []
  source.forEachChild((node) => {
    if (!ts.isInterfaceDeclaration(node) || node.name.text !== name) return
    for (const member of node.members) {
      const [doc] = ts.getJSDocCommentsAndTags(member)
      const text = typeof doc?.comment === "string" ? doc.comment.replace(/\s+/g, " ") : ""
      found.push({ name: (member.name as ts.Identifier | ts.StringLiteral).text, text })
    }
  })
  return found
}

const code = (text: string): string => `\`${text}\``

const standards = standardSettings() as unknown as Record<string, unknown>
const sockets = Object.entries(earshot).filter(
  ([, value]) => typeof value === "function" && "bind" in ((value as { prototype: object }).prototype ?? {}),
) as [string, { readonly prototype: object }][]

/** A default as people write it. */
function written(option: string): string {
  const value = standards[option]
  if (option === "clock") return "the platform's"
  if (value === undefined || value instanceof Uint8Array) return "none"
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value !== "number") return JSON.stringify(value)
  const mebi = value / 1024 / 1024
  return value > 0 && Number.isInteger(mebi) ? `${mebi} MiB` : value.toLocaleString("en-US")
}

t.test("the options", async (t) => {
  t.ok(sockets.length >= 11, `the sockets: ${sockets.map(([name]) => name).join(", ")}`)
  const groups = {
    "Every socket": "SocketOptions",
    "Sockets that send": "SendOptions",
    "Sockets that receive": "ReceiveOptions",
  }
  for (const [heading, name] of Object.entries(groups)) {
    const rows = described("lib/options.ts", name).map((option) => row(t, option))
    tableIs(t, heading, table(["option", "default", "meaning"], ...rows))
  }
  const rows = described("lib/options.ts", "PatternOptions").map((option) => {
    const having = sockets.filter(([, { prototype }]) => option.name in prototype).map(([socket]) => socket)
    const [name, standard, meaning] = row(t, option)
    return [name, having.sort().join(", "), standard, meaning]
  })
  tableIs(t, "Single sockets", table(["option", "sockets", "default", "meaning"], ...rows))
})

function row(t: Test, { name, text }: { name: string; text: string }): [string, string, string] {
  const standard = written(name)
  const said = /\s*Default:? (.*?)\.(?=\s|$)/.exec(text)
  t.equal(said?.[1], standard, `lib/options.ts says the default of ${name}`)
  return [code(name), standard, text.replace(said?.[0] ?? "", "").replaceAll('"', "`")]
}

t.test("the options of ws()", async (t) => {
  const rows = ["WsOptions", "WsRules"].flatMap((name) => described("transports/websocket/options.node.ts", name))
  tableIs(
    t,
    "Options of ws()",
    table(
      ["option", "default", "meaning"],
      ...rows.map(({ name, text }) => {
        const [said, standard = ""] = /\s*Default: (.*?)\.(?=\s|$)/.exec(text) ?? []
        return [code(name), standard, text.replace(said ?? "", "")]
      }),
    ),
  )
})

t.test("the size for browsers", async (t) => {
  const [, limit] = /LIMIT = ([\d_]+)/.exec(readFileSync(join(root, "test/package/browser.mjs"), "utf8"))!
  t.match(readme, `at most ${Number(limit!.replaceAll("_", "")) / 1000} KB, minified and gzipped`)
})

t.test("the events", async (t) => {
  const rows = described("lib/events.ts", "SocketEvents").map(({ name, text }) => [code(name), text])
  tableIs(t, "Events", table(["event", "when"], ...rows))
})

t.test("the error codes", async (t) => {
  const rows = Object.entries(earshot.codes).map(([name, meaning]) => [code(name), meaning])
  tableIs(t, "Error codes", table(["code", "meaning"], ...rows))
})

for (const [heading, file, type] of [
  ["What is dropped, and counted", "lib/contract.ts", "DropReason"],
  ["What the mesh drops, and counts", "lib/mesh/events.ts", "MeshDropReason"],
] as const)
  t.test(`the reasons of drops: ${type}`, async (t) => {
    const source = readFileSync(join(root, file), "utf8")
    const [, union] = new RegExp(`export type ${type} =\\n((?: {2}\\| .*\\n)+)`).exec(source)!
    const rows = [...union!.matchAll(/\| "([\w-]+)" *\/\/ *(.*)/g)].map(([, name, meaning]) => [code(name!), meaning!])
    t.equal(rows.length, union!.trim().split("\n").length, "each has a comment")
    tableIs(t, heading, table(["reason", "what it means"], ...rows))
  })

t.test("the options of the mesh", async (t) => {
  const groups = {
    "Options of Mesh.join": ["options", "MeshOptions"],
    "Options of publish": ["outgoing", "PublishOptions"],
    "Options of subscribe": ["subscription", "SubscribeOptions"],
    "Options of request": ["asking", "RequestCallOptions"],
    "Options of requestMany": ["many-requests", "RequestManyOptions"],
    "Options of serve": ["serving", "ServeOptions"],
  }
  for (const [heading, [file, name]] of Object.entries(groups)) {
    const options = described(`lib/mesh/${file}.ts`, name!)
    t.ok(options.length >= 4, `${options.length} ${heading}`)
    for (const option of options) t.not(option.text, "", `${name}.${option.name} is described`)
    const rows = options.map((option) => [code(option.name), option.text])
    tableIs(t, heading, table(["option", "meaning"], ...rows))
  }
})

t.test("the events of the mesh", async (t) => {
  const rows = described("lib/mesh/events.ts", "MeshEvents").map(({ name, text }) => [code(name), text])
  tableIs(t, "Events of the mesh", table(["event", "when"], ...rows))
})

t.test("the environment variables", async (t) => {
  const sources = ["lib", "transports", "patterns"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => readFileSync(join(root, folder, name), "utf8")),
  )
  const read = new Set(sources.join("\n").match(/\bEARSHOT_[A-Z_]+\b/g))
  const [, section] = /^### Environment variables\n([\s\S]*?)^#/m.exec(readme)!
  t.strictSame([...new Set(section!.match(/\bEARSHOT_[A-Z_]+\b/g))].sort(), [...read].sort())
})

t.test("the limits of the mesh", async (t) => {
  const [section] = /^### Limits of the mesh\n[\s\S]*?^### /m.exec(readme)!
  const MiB = 1024 * 1024
  const limits: readonly (readonly [file: string, name: string, value: number, row: RegExp])[] = [
    ["subject", "MAX_SUBJECT", 1024, /a subject, a pattern \| 1,024 characters, 64 tokens/],
    ["subject", "MAX_TOKENS", 64, /a subject, a pattern \| 1,024 characters, 64 tokens/],
    ["wire", "MAX_GROUP", 255, /queue group \| 255 bytes/],
    ["introduction", "MAX_META", 8192, /`meta` \| 8 KiB/],
    ["msgpack-scan", "MAX_DEPTH", 64, /64 levels, 1,048,576 objects/],
    ["msgpack-scan", "MAX_OBJECTS", 1_048_576, /64 levels, 1,048,576 objects/],
    ["ends", "MARK", 8192, /link to one member \| 8,192 messages, 16 MiB/],
    ["ends", "MARK_BYTES", 16 * MiB, /link to one member \| 8,192 messages, 16 MiB/],
    ["ends", "MOST", 131_072, /reads nothing \| 131,072 messages or 64 MiB/],
    ["replay", "KEPT", 4096, /acknowledged it \| 4,096 messages, 1 MiB, 30 s \(a leaf 2 min\)/],
    ["replay", "KEPT_BYTES", MiB, /acknowledged it \| 4,096 messages, 1 MiB, 30 s \(a leaf 2 min\)/],
    ["lost", "KEEP", 30_000, /acknowledged it \| 4,096 messages, 1 MiB, 30 s \(a leaf 2 min\)/],
    ["lost", "KEEP_LEAF", 120_000, /acknowledged it \| 4,096 messages, 1 MiB, 30 s \(a leaf 2 min\)/],
    ["outgoing", "MAX_EARLY", 1000, /settled \| 1,000 messages, 8 MiB/],
    ["outgoing", "MAX_EARLY_BYTES", 8 * MiB, /settled \| 1,000 messages, 8 MiB/],
    ["asking", "MAX_PENDING", 65_536, /65,536 asked; 65,536 accepted, 16,384 of one member/],
    ["answering", "MAX_CALLS", 65_536, /65,536 asked; 65,536 accepted, 16,384 of one member/],
    ["answering", "MAX_CALLS_EACH", 16_384, /65,536 asked; 65,536 accepted, 16,384 of one member/],
    ["many-requests", "MOST_BYTES", 64 * MiB, /wait to be read \| 64 MiB/],
    ["interest", "MAX_INTEREST", 65_535, /65,535 different ones/],
    ["pulse", "INTERVAL", 2000, /a ping every 2 s, gone after 6 s/],
    ["pulse", "BOUND", 6000, /a ping every 2 s, gone after 6 s/],
    ["reach", "AT_ONCE", 4, /dialling \| 4 members at a time, 64 where nobody answers/],
    ["reach", "WITH_SILENT", 64, /dialling \| 4 members at a time, 64 where nobody answers/],
    ["ends", "PATIENCE", 5000, /at most 5 s, a handshake 20 s/],
    ["ends", "QUEUEING", 20_000, /at most 5 s, a handshake 20 s/],
  ]
  for (const [file, name, value, row] of limits) {
    const source = readFileSync(join(root, `lib/mesh/${file}.ts`), "utf8")
    const [, written] = new RegExp(`const ${name}(?:: number)? = (.+)`).exec(source) ?? []
    const factors = written?.split(" * ").map((factor) => Number(factor.replaceAll("_", "")))
    t.equal(
      factors?.reduce((a, b) => a * b),
      value,
      `${name} of ${file}.ts: say it in the table, too`,
    )
    t.match(section, row)
  }
})

t.test("words that promise too much", async (t) => {
  for (const file of ["README.md", "lib/README.md", "lib/mesh/PROTOCOL.md"])
    t.notMatch(readFileSync(join(root, file), "utf8"), /exactly[\s-]+once/i, file)
})

// --- The rest ---

t.test("the README opens with two commands, and they exist", async (t) => {
  const [first] = /```sh\n([\s\S]*?)```/.exec(readme) ?? []
  t.match(first, "npm ci && npm start")
  t.match(first, "npm ci && npm test")
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object }
  for (const [, script] of readme.matchAll(/`npm run ([\w:-]+)/g))
    t.ok((script as string) in scripts, `npm run ${script}`)
})

/** What a link to a heading may say, as GitHub makes it of the heading. */
function anchorsOf(file: string): string[] {
  return [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  )
}

for (const file of ["README.md", "lib/README.md", "lib/mesh/PROTOCOL.md"])
  t.test(`the links of ${file}`, async (t) => {
    const text = readFileSync(join(root, file), "utf8")
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue
      const [path, anchor] = link!.split("#")
      const target = path === "" ? join(root, file) : join(root, file, "..", path!)
      const there = existsSync(target) && (anchor === undefined || anchorsOf(target).includes(anchor))
      t.ok(there, `${link} is there`)
    }
    // Files named in the text.
    for (const [, path] of text.matchAll(/`((?:lib|patterns|transports|test|bench|examples|\.ci)\/[\w./-]*\w)`/g))
      t.ok(existsSync(join(root, path!)), `${path} is there`)
  })
