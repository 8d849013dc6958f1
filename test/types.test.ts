// The public API's types, as users' projects see them: the built declarations, installed in a folder of their own and
// compiled with and without Node's types. The fixtures' expected errors are errors when they fail to appear.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import ts from "typescript"

const root = fileURLToPath(new URL("../", import.meta.url))
const fixtures = join(root, "test/types/fixtures")

const strict: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
  allowImportingTsExtensions: true,
  target: ts.ScriptTarget.ES2022,
}
const inNode: ts.CompilerOptions = {
  ...strict,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ["lib.es2022.d.ts"],
  types: ["node"],
}
const inBrowser: ts.CompilerOptions = {
  ...strict,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  types: [],
}

/** A user's project in a folder of its own, with Earshot installed, and Node's types if wished. */
function project(folder: string, nodeTypes: boolean): string {
  const modules = join(folder, "node_modules")
  cpSync(fixtures, folder, { recursive: true })
  cpSync(join(root, "package.json"), join(modules, "earshot/package.json"))
  for (const part of ["lib", "transports", "patterns"])
    cpSync(join(root, "dist", part), join(modules, "earshot/dist", part), { recursive: true })
  if (nodeTypes) {
    mkdirSync(join(modules, "@types"))
    symlinkSync(join(root, "node_modules/@types/node"), join(modules, "@types/node"), "junction")
  }
  // As `"type": "module"` says in the user's package.json.
  ts.sys.writeFile(join(folder, "package.json"), `{ "type": "module" }`)
  return folder
}

function problems(folder: string, files: readonly string[], options: ts.CompilerOptions): string[] {
  const program = ts.createProgram(
    files.map((file) => join(folder, file)),
    options,
  )
  return ts
    .formatDiagnostics(ts.getPreEmitDiagnostics(program), {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => folder,
      getNewLine: () => "\n",
    })
    .split("\n")
    .filter((line) => line !== "")
}

const temp = mkdtempSync(join(tmpdir(), "earshot-types-"))
t.teardown(() => rmSync(temp, { recursive: true, force: true }))
const node = project(join(temp, "node"), true)
const plain = project(join(temp, "plain"), false)

t.test("a project with Node's types", async (t) => {
  t.strictSame(problems(node, ["api.ts", "node.ts"], inNode), [], "Frame is Buffer")
})

t.test("a project without", async (t) => {
  t.strictSame(problems(plain, ["api.ts", "plain.ts"], inBrowser), [], "Frame is Uint8Array, and no error")
})

t.test("the harness tells a wrong type from a right one", async (t) => {
  t.not(problems(plain, ["node.ts"], inBrowser).length, 0)
  t.not(problems(node, ["plain.ts"], inNode).length, 0)
})

t.test("every name that an entry of the package exports says what it is", async (t) => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, string | { readonly types: string }>
  }
  const entries = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? [] : join(root, entry.types)))
  t.ok(entries.length >= 10, `${entries.length} entries`)
  const program = ts.createProgram(entries, inNode)
  const checker = program.getTypeChecker()
  for (const entry of entries)
    for (const name of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!)) {
      const symbol = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name
      t.not(symbol.getDocumentationComment(checker).length, 0, `${entry.slice(root.length)}: ${name.name}`)
    }
})
