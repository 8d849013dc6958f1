// For Node 22, which strips types and can't read `await using`: TypeScript makes older code of it. (`--import`)
import { readFileSync } from "node:fs"
import { registerHooks } from "node:module"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const compilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  inlineSourceMap: true,
}

registerHooks({
  load(url, context, next) {
    if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context)
    const source = readFileSync(fileURLToPath(url), "utf8")
    const fileName = fileURLToPath(url)
    return {
      format: "module",
      shortCircuit: true,
      source: ts.transpileModule(source, { compilerOptions, fileName }).outputText,
    }
  },
})
