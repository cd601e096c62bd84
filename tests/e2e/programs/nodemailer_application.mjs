// An application that mails with Nodemailer. Arguments: the package's folder, the server's port (TLS from the first
// octet), the login, the recipients. Password in APPLICATION_PASSWORD, the certificate to trust in NODE_EXTRA_CA_CERTS.
import { createRequire } from "node:module";

const [folder, port, user, ...recipients] = process.argv.slice(2);
const nodemailer = createRequire(import.meta.url)(folder);
const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: true,
  auth: { user, pass: process.env.APPLICATION_PASSWORD },
  pool: true,
});
const sent = await Promise.all(
  recipients.map((recipient) =>
    transport.sendMail({
      from: '"Jürgen Groß" <juergen@werkstatt-nord.example>',
      envelope: { from: "bounces@werkstatt-nord.example", to: recipient },
      to: recipient,
      subject: "Ihr Angebot für Möbel",
      text: "Grüße aus dem Norden.\n.\nDas Angebot: https://shop.example/angebot\n",
      html: '<p>Grüße aus dem <a href="https://shop.example/angebot?n=1&amp;m=2">Norden</a>. <img src="cid:logo"></p>',
      attachments: [
        { filename: "logo.gif", content: Buffer.from("GIF89a"), cid: "logo" },
        { filename: "angebot.pdf", content: Buffer.alloc(9000, 7) },
      ],
      headers: { "X-Tracker-Label": "Angebot Node", "X-Tracker-Campaign": "node-7" },
      dsn: { id: "q1", return: "headers", notify: ["failure", "delay"], recipient: "bounces@werkstatt-nord.example" },
    }),
  ),
);
console.log(sent.map((one) => one.response).join("\n"));
transport.close();
