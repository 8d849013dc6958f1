/**
 * Which topics are subscribed to, and by whom: a message matches every topic that its first frame begins with.
 *
 * A radix tree over bytes; an edge carries a run of bytes, a node the owners of the topic that ends there. An owner
 * has a topic or has it not: a peer's second SUBSCRIBE changes nothing, as in libzmq (WIRE 1.5).
 *
 *   "a" (A)       root --a--> (A) --bc--> (B)
 *   "abc" (B)                        \--xy--> (A)
 *   "axy" (A)
 *
 * Peers decide what is in it, so everything costs time in proportion to the topic at hand: an edge has at most 1 KiB, for
 * changing the middle of a topic of 10 MB must not copy it, and each owner's nodes are known, so that an owner can go
 * without a search through the others' topics.
 */
import { allocate, latin1 } from "./bytes.ts"

const MAX_LABEL = 1024

class Node<Owner> {
  /** The bytes from the parent to here, one character each: a string takes a tenth of the memory of a Uint8Array. */
  label: string
  parent: Node<Owner> | undefined
  /** Of the topic that ends here: most have one only. */
  owner: Owner | undefined
  others: Set<Owner> | undefined
  /** By the first byte of their label. */
  children: Map<number, Node<Owner>> | undefined

  constructor(label: string, parent: Node<Owner> | undefined) {
    this.label = label
    this.parent = parent
  }
}

export class Prefixes<Owner> {
  private readonly root = new Node<Owner>("", undefined)
  /** Where each owner's topics end. A node with an owner is never replaced by another. */
  private readonly owned = new Map<Owner, Set<Node<Owner>>>()

  /** True when the owner did not have this topic before. */
  add(topic: Uint8Array, owner: Owner): boolean {
    const node = this.reach(topic)
    let nodes = this.owned.get(owner)
    if (nodes === undefined) this.owned.set(owner, (nodes = new Set()))
    else if (nodes.has(node)) return false
    nodes.add(node)
    if (node.owner === undefined) node.owner = owner
    else (node.others ??= new Set()).add(owner)
    return true
  }

  /** False when the owner did not have this topic. */
  remove(topic: Uint8Array, owner: Owner): boolean {
    const node = this.find(topic)
    const nodes = this.owned.get(owner)
    if (node === undefined || nodes?.delete(node) !== true) return false
    if (nodes.size === 0) this.owned.delete(owner)
    this.disown(node, owner)
    return true
  }

  /** Drops all of an owner's topics and hands each to `gone`, with whether nobody has it any more. */
  removeAll(owner: Owner, gone?: (topic: Uint8Array, deserted: boolean) => void): void {
    const nodes = this.owned.get(owner)
    if (nodes === undefined) return
    this.owned.delete(owner)
    for (const node of nodes) {
      const topic = gone === undefined ? undefined : topicOf(node)
      this.disown(node, owner)
      if (topic !== undefined) gone!(topic, node.owner === undefined)
    }
  }

  /** Calls `hit` for each owner of each topic that `subject` begins with: an owner of several is named several times. */
  match(subject: Uint8Array, hit: (owner: Owner) => void): void {
    let node = this.root
    let at = 0
    for (;;) {
      if (node.owner !== undefined) {
        hit(node.owner)
        if (node.others !== undefined) for (const owner of node.others) hit(owner)
      }
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
      if (node.owner !== undefined) return true
      if (at === subject.length || node.children === undefined) return false
      const child = node.children.get(subject[at]!)
      if (child === undefined || !startsWith(subject, at, child.label)) return false
      at += child.label.length
      node = child
    }
  }

  /** Has anybody exactly this topic? */
  has(topic: Uint8Array): boolean {
    return this.find(topic)?.owner !== undefined
  }

  /** The node of a topic, made where it isn't there. */
  private reach(topic: Uint8Array): Node<Owner> {
    let node = this.root
    let at = 0
    while (at < topic.length) {
      const child = node.children?.get(topic[at]!)
      if (child === undefined) {
        const end = Math.min(topic.length, at + MAX_LABEL)
        node = adopt(node, new Node<Owner>(latin1(topic, at, end), node))
        at = end
        continue
      }
      const common = commonLength(topic, at, child.label)
      node = common === child.label.length ? child : split(child, latin1(topic, at, at + common))
      at += common
    }
    return node
  }

  private find(topic: Uint8Array): Node<Owner> | undefined {
    let node = this.root
    let at = 0
    while (at < topic.length) {
      const child = node.children?.get(topic[at]!)
      if (child === undefined || !startsWith(topic, at, child.label)) return undefined
      at += child.label.length
      node = child
    }
    return node
  }

  private disown(node: Node<Owner>, owner: Owner): void {
    const { others } = node
    if (node.owner === owner) {
      node.owner = undefined
      if (others !== undefined) [node.owner] = others
    }
    if (node.owner === undefined) return prune(node)
    others!.delete(node.owner)
    others!.delete(owner)
    if (others!.size === 0) node.others = undefined
  }
}

/** Takes away what a removal left empty, from the node upwards. */
function prune<Owner>(node: Node<Owner>): void {
  for (let at = node; at.owner === undefined && at.parent !== undefined; at = at.parent) {
    if (at.children !== undefined) return merge(at, at.parent)
    const siblings = at.parent.children!
    siblings.delete(at.label.charCodeAt(0))
    if (siblings.size === 0) at.parent.children = undefined
  }
}

/** A node without owners and with one child becomes part of that child's edge. */
function merge<Owner>(node: Node<Owner>, parent: Node<Owner>): void {
  if (node.children!.size > 1) return
  const [child] = node.children!.values()
  if (node.label.length + child!.label.length > MAX_LABEL) return
  child!.label = node.label + child!.label
  adopt(parent, child!)
}

/** Puts a node in the middle of a child's edge, after `label`, a copy of its beginning. */
function split<Owner>(child: Node<Owner>, label: string): Node<Owner> {
  const middle = adopt(child.parent!, new Node<Owner>(label, child.parent))
  child.label = child.label.slice(label.length)
  adopt(middle, child)
  return middle
}

function adopt<Owner>(parent: Node<Owner>, child: Node<Owner>): Node<Owner> {
  child.parent = parent
  parent.children ??= new Map()
  parent.children.set(child.label.charCodeAt(0), child)
  return child
}

function startsWith(subject: Uint8Array, at: number, label: string): boolean {
  const { length } = label
  if (length > subject.length - at) return false
  for (let i = 0; i < length; i++) if (subject[at + i] !== label.charCodeAt(i)) return false
  return true
}

function commonLength(topic: Uint8Array, at: number, label: string): number {
  const most = Math.min(label.length, topic.length - at)
  let i = 0
  while (i < most && topic[at + i] === label.charCodeAt(i)) i++
  return i
}

function topicOf<Owner>(node: Node<Owner>): Uint8Array {
  let size = 0
  for (let at: Node<Owner> | undefined = node; at !== undefined; at = at.parent) size += at.label.length
  const topic = allocate(size)
  for (let at: Node<Owner> | undefined = node; at !== undefined; at = at.parent) {
    size -= at.label.length
    for (let i = 0; i < at.label.length; i++) topic[size + i] = at.label.charCodeAt(i)
  }
  return topic
}
