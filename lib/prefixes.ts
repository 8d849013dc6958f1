/**
 * Which topics are subscribed to, and by whom: a message matches every topic that its first frame begins with.
 *
 * A radix tree over bytes; an edge carries a run of bytes, a node the owners of the topic that ends there. An owner
 * has a topic or has it not: a peer's second SUBSCRIBE changes nothing, as in libzmq (WIRE 1.5).
 *
 *   "a" (A)       root --a--> (A) --bc--> (B)
 *   "abc" (B)                        \--xy--> (A)
 *   "axy" (A)
 */
import { EMPTY, copyOf } from "./bytes.ts"

class Node<Owner> {
  /** The bytes from the parent to here. */
  label: Uint8Array
  owners: Set<Owner> | undefined
  /** By the first byte of their label. */
  children: Map<number, Node<Owner>> | undefined

  constructor(label: Uint8Array) {
    this.label = label
  }
}

export class Prefixes<Owner> {
  /** Topics with at least one owner. */
  size = 0
  private readonly root = new Node<Owner>(EMPTY)

  /** True when the owner did not have this topic before. */
  add(topic: Uint8Array, owner: Owner): boolean {
    const node = this.reach(topic)
    if (node.owners === undefined) {
      node.owners = new Set()
      this.size++
    }
    const { size } = node.owners
    return node.owners.add(owner).size > size
  }

  /** False when the owner did not have this topic. */
  remove(topic: Uint8Array, owner: Owner): boolean {
    const path = this.find(topic)
    if (path?.at(-1)!.owners?.delete(owner) !== true) return false
    this.prune(path)
    return true
  }

  /** Drops all of an owner's topics and hands each to `gone`, with whether nobody has it any more. */
  removeAll(owner: Owner, gone: (topic: Uint8Array, deserted: boolean) => void): void {
    // Collected first, since removing changes the tree.
    const topics: Uint8Array[] = []
    this.each((topic, owners) => {
      if (owners.has(owner)) topics.push(topic)
    })
    for (const topic of topics) {
      const path = this.find(topic)!
      const owners = path.at(-1)!.owners!
      owners.delete(owner)
      const deserted = owners.size === 0
      this.prune(path)
      gone(topic, deserted)
    }
  }

  /** Calls `hit` for each owner of each topic that `subject` begins with: an owner of several is named several times. */
  match(subject: Uint8Array, hit: (owner: Owner) => void): void {
    let node = this.root
    let at = 0
    for (;;) {
      if (node.owners !== undefined) for (const owner of node.owners) hit(owner)
      if (at === subject.length || node.children === undefined) return
      const child = node.children.get(subject[at]!)
      if (child === undefined || !startsWith(subject, at, child.label)) return
      at += child.label.length
      node = child
    }
  }

  /** Does any topic match? */
  matches(subject: Uint8Array): boolean {
    let node = this.root
    let at = 0
    for (;;) {
      if (node.owners !== undefined) return true
      if (at === subject.length || node.children === undefined) return false
      const child = node.children.get(subject[at]!)
      if (child === undefined || !startsWith(subject, at, child.label)) return false
      at += child.label.length
      node = child
    }
  }

  /** Has anybody exactly this topic? */
  has(topic: Uint8Array): boolean {
    return this.find(topic)?.at(-1)?.owners !== undefined
  }

  /** Calls back for every topic with its owners. */
  each(visit: (topic: Uint8Array, owners: ReadonlySet<Owner>) => void): void {
    const stack: { node: Node<Owner>; topic: Uint8Array }[] = [{ node: this.root, topic: EMPTY }]
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { node, topic } = top
      if (node.owners !== undefined) visit(topic, node.owners)
      if (node.children !== undefined)
        for (const child of node.children.values()) stack.push({ node: child, topic: join(topic, child.label) })
    }
  }

  private reach(topic: Uint8Array): Node<Owner> {
    let node = this.root
    let at = 0
    while (at < topic.length) {
      const children = (node.children ??= new Map())
      const child = children.get(topic[at]!)
      if (child === undefined) {
        const leaf = new Node<Owner>(copyOf(topic.subarray(at)))
        children.set(topic[at]!, leaf)
        return leaf
      }
      const common = commonLength(topic, at, child.label)
      node = common === child.label.length ? child : split(children, child, common)
      at += common
    }
    return node
  }

  /** The nodes from the root to a topic. */
  private find(topic: Uint8Array): Node<Owner>[] | undefined {
    const path = [this.root]
    let node = this.root
    let at = 0
    while (at < topic.length) {
      const child = node.children?.get(topic[at]!)
      if (child === undefined || !startsWith(topic, at, child.label)) return undefined
      at += child.label.length
      path.push((node = child))
    }
    return path
  }

  /** Takes away what a removal left empty at the end of the path. */
  private prune(path: Node<Owner>[]): void {
    const last = path.at(-1)!
    if (last.owners?.size !== 0) return
    last.owners = undefined
    this.size--
    for (let i = path.length - 1; i > 0; i--) {
      const node = path[i]!
      if (node.owners !== undefined) return
      const parent = path[i - 1]!
      if (node.children === undefined) {
        parent.children!.delete(node.label[0]!)
        if (parent.children!.size === 0) parent.children = undefined
      } else {
        if (node.children.size === 1) merge(parent, node)
        return
      }
    }
  }
}

/** Puts a node in the middle of a child's edge. */
function split<Owner>(siblings: Map<number, Node<Owner>>, child: Node<Owner>, at: number): Node<Owner> {
  const middle = new Node<Owner>(child.label.subarray(0, at))
  child.label = child.label.subarray(at)
  middle.children = new Map([[child.label[0]!, child]])
  siblings.set(middle.label[0]!, middle)
  return middle
}

/** A node without owners and with one child becomes part of that child's edge. */
function merge<Owner>(parent: Node<Owner>, node: Node<Owner>): void {
  const [child] = node.children!.values()
  child!.label = join(node.label, child!.label)
  parent.children!.set(child!.label[0]!, child!)
}

function startsWith(subject: Uint8Array, at: number, label: Uint8Array): boolean {
  if (label.length > subject.length - at) return false
  for (let i = 0; i < label.length; i++) if (subject[at + i] !== label[i]) return false
  return true
}

function commonLength(topic: Uint8Array, at: number, label: Uint8Array): number {
  let i = 0
  while (i < label.length && at + i < topic.length && topic[at + i] === label[i]) i++
  return i
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}
