/**
 * `earshot/testing`: a whole mesh within one process, for tests of what is built on it. No port, no multicast, nothing of
 * the machine's environment, and nothing left when it is closed; time is virtual where a test asks for it.
 */
import "../runtime.ts"
import { inproc } from "../../transports/inproc.ts"
import { systemClock } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { ambient } from "./calls-context.node.ts"
import { virtualClock } from "../virtual-clock.ts"
import { showMesh } from "./showing.ts"
import { TestMesh, VirtualTestMesh, type TestMeshOptions } from "./test-net.ts"

showMesh()

/**
 * Members of these names in a network of their own, linked with each other:
 *
 *     await using net = await testMesh(["a", "b"])
 *     net.mesh.b.serve("add", ([x, y]) => x + y)
 *     await net.settle()
 *     await net.mesh.a.request("add", [2, 3])
 *
 * With `clock: "virtual"` time stands still until `net.advance(ms)` or `net.until(promise)` moves it. Rejects EINVAL for
 * names that are not unique, and with what `Mesh.join` rejects with.
 */
export function testMesh<Name extends string>(
  names: readonly Name[],
  options: TestMeshOptions & { readonly clock: "virtual" },
): Promise<VirtualTestMesh<Name>>
export function testMesh<Name extends string>(
  names: readonly Name[],
  options?: TestMeshOptions,
): Promise<TestMesh<Name>>
export async function testMesh<Name extends string>(
  names: readonly Name[],
  options: TestMeshOptions = {},
): Promise<TestMesh<Name>> {
  const { clock = systemClock, seed = 1 } = options
  if (new Set(names).size < names.length) throw new EarshotError("EINVAL", "every member needs a name of its own")
  const net: TestMesh<Name> =
    clock === "virtual"
      ? new VirtualTestMesh<Name>(options, virtualClock({ seed }), inproc(), ambient)
      : new TestMesh<Name>(options, clock, inproc(), ambient)
  try {
    await Promise.all(names.map((name) => net.add(name)))
    await net.settle()
  } catch (error) {
    await net.close()
    throw error
  }
  return net
}

export { virtualClock, type VirtualClock, type VirtualClockOptions } from "../virtual-clock.ts"
export type { Latency } from "./test-cables.ts"
export type { Harm, TestMemberOptions, TestMesh, TestMeshOptions, VirtualTestMesh } from "./test-net.ts"
