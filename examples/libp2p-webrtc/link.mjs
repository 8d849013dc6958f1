// `earshot`, as it is two folders above. In a project of yours it is a package like the others.
import { existsSync, symlinkSync } from "node:fs"
import { fileURLToPath } from "node:url"

const place = fileURLToPath(new URL("node_modules/earshot", import.meta.url))
if (!existsSync(place)) symlinkSync(fileURLToPath(new URL("../..", import.meta.url)), place, "junction")
