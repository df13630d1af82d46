// Baileys as a companion of the sandbox, driven by JSON lines.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node baileys.mjs CONTRACT USER SESSION_FOLDER BAILEYS_FOLDER
//
// In:   {"do": "connect"}   {"do": "send", "to": ADDRESS, "text": TEXT}   {"do": "ask_code", "number": NUMBER}
// Out:  {"event": "qr", "text"}   {"event": "open"}   {"event": "close", "code", "reason"}
//       {"event": "message", "id", "chat", "sender", "text", "offline"}   text is null when Baileys could not decrypt it
//       {"event": "code", "text"}   {"event": "sent", "id"}   {"event": "delivered", "id"}
//       {"event": "complaint", "level", "text"}                          what Baileys logs as a warning or an error
//
// A Baileys socket lives for one connection: after a close, "connect" makes the next one from the same credentials.
// The program ends with its standard input.

import { readFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"

const [contractFile, user, sessionFolder, baileysFolder] = process.argv.slice(2)
const contract = JSON.parse(readFileSync(contractFile, "utf8"))

// libsignal prints whole sessions, with their keys, to the console; standard output is for events.
for (const name of ["log", "info", "warn", "error", "debug", "trace"]) console[name] = () => {}

const baileys = await import(pathToFileURL(join(baileysFolder, "lib", "index.js")))
baileys.WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(contract.root_key, "hex")
const { state, saveCreds } = await baileys.useMultiFileAuthState(sessionFolder)

let socket

function tell(event, fields = {}) {
    process.stdout.write(JSON.stringify({ event, ...fields }) + "\n")
}

// A logger in pino's shape: (details, text) or (text). The details may hold keys, so only the text is passed on.
function logger() {
    const complain = (level) => (first, text) => tell("complaint", { level, text: String(text ?? (typeof first === "string" ? first : "")) })
    const silent = () => {}
    return { level: "warn", child: logger, trace: silent, debug: silent, info: silent, warn: complain("warn"), error: complain("error") }
}

function connect() {
    socket = baileys.makeWASocket({
        auth: state,
        logger: logger(),
        waWebSocketUrl: `wss://localhost:${contract.direct_port}/ws/chat?user=${encodeURIComponent(user)}`,
        // The sandbox sends no history, and Baileys would hold messages back for 20 s to wait for the recent one.
        shouldSyncHistoryMessage: ({ syncType }) => syncType !== baileys.proto.HistorySync.HistorySyncType.RECENT,
    })
    socket.ev.on("creds.update", saveCreds)
    socket.ev.on("connection.update", onConnectionUpdate)
    socket.ev.on("messages.upsert", onMessages)
    socket.ev.on("messages.update", onMessageUpdates)
}

function onConnectionUpdate({ connection, lastDisconnect, qr }) {
    if (qr) tell("qr", { text: qr })
    if (connection === "open") tell("open")
    if (connection === "close") {
        const error = lastDisconnect?.error
        tell("close", { code: error?.output?.statusCode, reason: error?.message })
    }
}

function onMessages({ messages, type }) {
    for (const { key, message, status } of messages) {
        if (key.fromMe) tellDelivered(key, status)
        else if (!carriesOnlyASenderKey(message)) {
            const text = message?.conversation ?? message?.extendedTextMessage?.text ?? null
            tell("message", { id: key.id, chat: key.remoteJid, sender: key.participant || key.remoteJid, text, offline: type === "append" })
        }
    }
}

function carriesOnlyASenderKey(message) {
    return message?.senderKeyDistributionMessage && !message.conversation
}

// A delivery is an update of a message, or, when it is quick, merged into the event about the own message itself.
function onMessageUpdates(updates) {
    for (const { key, update } of updates) tellDelivered(key, update.status)
}

function tellDelivered(key, status) {
    if (status >= baileys.proto.WebMessageInfo.Status.DELIVERY_ACK) tell("delivered", { id: key.id })
}

async function send({ to, text }) {
    const { key } = await socket.sendMessage(to, { text })
    tell("sent", { id: key.id })
}

async function ask_code({ number }) {
    tell("code", { text: await socket.requestPairingCode(number) })
}

const commands = { connect, send, ask_code }

for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line)
    await commands[command.do](command)
}
process.exit(0)
