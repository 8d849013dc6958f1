// What an installed tree weighs, and what in it would need a compiler or run code at install time.
import { readdirSync, readFileSync, statSync } from "node:fs"
import { basename, join, relative } from "node:path"

const installScripts = ["preinstall", "install", "postinstall"]

/** Every file below `folder`. */
export function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

/** One line for each install script, gypfile, binding.gyp and native addon below `folder`. */
export function nativeParts(folder) {
  return filesBelow(folder).flatMap((file) => {
    const shown = relative(folder, file)
    if (basename(file) === "binding.gyp" || file.endsWith(".node")) return [shown]
    if (basename(file) !== "package.json") return []
    const { scripts, gypfile } = JSON.parse(readFileSync(file, "utf8"))
    const found = installScripts
      .filter((name) => scripts?.[name] !== undefined)
      .map((name) => `${shown}: ${name} script`)
    return gypfile === true ? found.concat(`${shown}: gypfile`) : found
  })
}

/** Bytes of all files below `folder`. */
export function sizeBelow(folder) {
  return filesBelow(folder).reduce((sum, file) => sum + statSync(file).size, 0)
}
