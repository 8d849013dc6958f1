/** What is shown of the mesh's objects when they are printed or made JSON. For the roots: the objects know nothing of it. */
import { show } from "../showing.ts"
import { OpenCall } from "./call.ts"
import type { MemberInfo } from "./events.ts"
import { Member } from "./member.ts"
import { Mesh } from "./mesh.ts"
import { MeshMessage } from "./message.ts"
import { Subscription } from "./subscription.ts"

/** A function, since bundlers leave out a file that is only imported for what it does. */
export function showMesh(): void {
  show(Member, (member): MemberInfo => {
    const { id, name, endpoints, meta, userId, rtt, leaf, leaves } = member
    return { id, name, endpoints, meta, userId, rtt, leaf, leaves }
  })
  show(MeshMessage, ({ subject, data, headers, from, user }) => ({ subject, data, headers, from, user }))
  show(OpenCall, ({ subject, headers, from, remaining }) => ({ subject, headers, from, remaining }))
  show(Subscription, (subscription) => subscription.stats())
  show(Mesh, ({ id, name, endpoints, members, closed }) => ({ id, name, endpoints, members: members.size, closed }))
}
