// A program that leaves its libp2p nodes to Earshot, on a platform without Promise.withResolvers (Node 20), and ends by itself.
delete Promise.withResolvers
const { Pull, Push } = await import("../../../dist/lib/index.js")
const { libp2p } = await import("../../../dist/transports/libp2p.js")
const said = { imported: "withResolvers" in Promise }

const listening = libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"] })
const dialling = libp2p()
const [pull, push] = [new Pull(), new Push()]
await pull.bind({ transport: listening, address: "#work" })
const address = pull.lastEndpoint.replace("libp2p://", "")
await push.connect({ transport: dialling, address })
await push.send("by nodes of ours")
const [frame] = await pull.receive()
said.received = frame.toString()
said.used = "withResolvers" in Promise
await Promise.all([push.close(), pull.close()])
console.log(JSON.stringify(said))
