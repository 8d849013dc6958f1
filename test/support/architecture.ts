// Checkers of how the source hangs together. Pure functions of a file's path and text, so that the test can show on
// made-up sources that each really catches what it is for. The picture they hold is the table in lib/README.md.
import { readFileSync, readdirSync } from "node:fs"
import { builtinModules } from "node:module"
import { posix } from "node:path"
import ts from "typescript"

export type Source = { readonly path: string; readonly text: string }

/** The library's own files, by their path from the top of the repository. */
export function librarySources(root: URL): Source[] {
  return ["lib", "patterns", "transports"].flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, root), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
      .sort()
      .map((path) => ({ path, text: readFileSync(new URL(path, root), "utf8") })),
  )
}

// --- Who may import whom ---

const layers = {
  /** Composition roots: may import everything, and nobody imports them. */
  root: /^lib\/(mesh\/)?(index|cli|testing|gossipsub|libp2p)(\.\w+)*\.ts$/,
  /** What all roots export; for them alone. */
  exports: /^lib\/exports\.ts$/,
  /** Registers the transports of a platform; for the roots alone. */
  register: /^lib\/register(\.\w+)*\.ts$/,
  clock: /^lib\/clock(\.\w+)*\.ts$/,
  /** The first import of the roots; refuses an old Node before anything else runs. */
  runtime: /^lib\/runtime\.ts$/,
  base: /^lib\/(contract|errors|bytes)\.ts$/,
  structure: /^lib\/(ring|balancer|prefixes)\.ts$/,
  session: /^lib\/wire\/session\.ts$/,
  wire: /^lib\/wire\//,
  mesh: /^lib\/mesh\//,
  socket: /^lib\/[^/]+\.ts$/,
  pattern: /^patterns\/[^/]+\.ts$/,
  /** What transports share; a file beside them that is not a transport. */
  transportShared: /^transports\/((net|reading|(link|names)\.node)\.ts$|websocket\/|libp2p\/)/,
  transport: /^transports\/[^/]+\.ts$/,
} as const

type Layer = keyof typeof layers

const allowed: Record<Layer, readonly Layer[] | "all"> = {
  root: "all",
  exports: ["clock", "base", "structure", "socket", "pattern"],
  register: ["socket", "transport"],
  clock: [],
  runtime: [],
  base: ["clock", "base"],
  structure: ["clock", "base", "structure"],
  session: ["clock", "base", "wire", "session"],
  wire: ["clock", "base", "wire", "session"],
  socket: ["clock", "base", "structure", "session", "socket"],
  mesh: ["clock", "base", "structure", "socket", "mesh"],
  pattern: ["clock", "base", "structure", "socket"],
  transportShared: ["clock", "base", "transportShared"],
  transport: ["clock", "base", "transportShared"],
}

/** The files that may know Node. Everything else also runs in browsers. */
const knowsNode = /^(transports\/(tcp|ipc|tls|ws|net|reading|libp2p\w*)\.ts|.*\.node\.ts)$/

/** Each npm package is known to exactly one file, its adapter. */
const adapters: Readonly<Record<string, string>> = {
  ws: "transports/websocket/library.node.ts",
  msgpackr: "lib/mesh/msgpack.ts",
  "bonjour-service": "lib/mesh/discovery/bonjour.node.ts",
  libp2p: "transports/libp2p/maker.node.ts",
  "@libp2p/crypto": "transports/libp2p/maker.node.ts",
  "@libp2p/noise": "transports/libp2p/maker.node.ts",
  "@libp2p/tcp": "transports/libp2p/maker.node.ts",
  "@libp2p/yamux": "transports/libp2p/maker.node.ts",
  "@multiformats/multiaddr": "transports/libp2p/library.ts",
}

const builtins: ReadonlySet<string> = new Set(builtinModules)

function layerOf(path: string): Layer | undefined {
  return (Object.keys(layers) as Layer[]).find((layer) => layers[layer].test(path))
}

export function importProblems({ path, text }: Source): string[] {
  const layer = layerOf(path)
  if (layer === undefined) return [`${path} is in no layer: name one in test/support/architecture.ts`]
  const { importedFiles } = ts.preProcessFile(text, true, true)
  return importedFiles.flatMap(({ fileName }) => {
    const problem = importProblem(path, layer, fileName)
    return problem === undefined ? [] : [`${path} imports ${fileName}: ${problem}`]
  })
}

function importProblem(path: string, layer: Layer, wanted: string): string | undefined {
  if (wanted.startsWith(".")) {
    const target = posix.join(posix.dirname(path), wanted)
    const targetLayer = layerOf(target)
    if (targetLayer === undefined) return "it is outside the library"
    const list = allowed[layer]
    if (targetLayer === "root") return "nobody imports a composition root"
    return list === "all" || list.includes(targetLayer)
      ? undefined
      : `a ${layer} file may not know a ${targetLayer} file`
  }
  if (wanted.startsWith("node:")) return knowsNode.test(path) ? undefined : "only transports and *.node.ts know Node"
  if (builtins.has(wanted)) return "write node: before the name of a Node module"
  const name = wanted
    .split("/")
    .slice(0, wanted.startsWith("@") ? 2 : 1)
    .join("/")
  return adapters[name] === path ? undefined : `${adapters[name] ?? "no file"} is the adapter of ${name}`
}

// --- Time, scheduling and randomness come from the clock ---

/** Globals and functions of Node's modules; banned by name, whether called, imported or passed on. */
const bannedNames: ReadonlySet<string> = new Set([
  ..."setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask".split(" "),
  ..."nextTick hrtime MessageChannel requestAnimationFrame Date performance".split(" "),
  ..."getRandomValues randomBytes randomUUID randomInt randomFill randomFillSync".split(" "),
])
const bannedMembers: ReadonlySet<string> = new Set(["Math.random", "AbortSignal.timeout"])
const bannedModules: ReadonlySet<string> = new Set(["node:timers", "node:timers/promises", "node:perf_hooks"])

export function clockProblems({ path, text }: Source): string[] {
  if (layers.clock.test(path)) return []
  const problems: string[] = []
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const report = (node: ts.Node, what: string): void => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart())
    problems.push(`${path}:${line + 1} uses ${what} instead of the clock`)
  }
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return
    const what = bannedUse(node)
    if (what !== undefined) report(node, what)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return problems
}

function bannedUse(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier))
    return bannedModules.has(node.moduleSpecifier.text) ? node.moduleSpecifier.text : undefined
  // setTimeout, globalThis.setTimeout, { setTimeout } = globalThis, import { setTimeout as later }; not clock.randomBytes.
  if (ts.isIdentifier(node)) return bannedNames.has(node.text) && !declaresMember(node) ? node.text : undefined
  if (ts.isPropertyAccessExpression(node)) return bannedMember(node.expression, node.name.text)
  if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)) {
    const name = node.argumentExpression.text
    return bannedNames.has(name) ? name : bannedMember(node.expression, name)
  }
  if (ts.isVariableDeclaration(node) && ts.isObjectBindingPattern(node.name) && node.initializer !== undefined) {
    const { initializer } = node
    return node.name.elements
      .map((element) => bannedMember(initializer, (element.propertyName ?? element.name).getText()))
      .find((what) => what !== undefined)
  }
  return undefined
}

function bannedMember(owner: ts.Expression, name: string): string | undefined {
  const what = `${lastName(owner)}.${name}`
  return bannedMembers.has(what) ? what : undefined
}

/** Names that an object of ours has for itself, and members of a clock. */
function declaresMember(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.name === node)
    return /^#?(\w*C|c)lock$/.test(lastName(parent.expression))
  return (
    (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent) || ts.isPropertyDeclaration(parent)) &&
    parent.name === node
  )
}

function lastName(expression: ts.Expression): string {
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText()
}

// --- Size ---

export const MAX_LINES = 400

export function lengthProblems({ path, text }: Source): string[] {
  const lines = text.replace(/\n$/, "").split("\n").length
  return lines > MAX_LINES ? [`${path} has ${lines} lines, more than ${MAX_LINES}`] : []
}
