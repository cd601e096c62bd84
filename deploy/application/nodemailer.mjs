// How an application in Node.js mails through the tracker, with Nodemailer:
//
//     import nodemailer from "nodemailer";
//     import { settings } from "./nodemailer.mjs";
//     const transport = nodemailer.createTransport(settings);
//     await transport.sendMail({ ..., headers: { "X-Tracker-Label": "Spring offer" } });
//
// On the tracker's own machine host and port suffice. Elsewhere MAIL_LOGIN names an API key with the scope `rewrite`, and
// MAIL_PASSWORD_FILE the file that holds it. Send each person a message of their own: a copy for one person alone can be
// tracked whatever stands in To and Cc.
import { readFileSync } from "node:fs";

const login = process.env.MAIL_LOGIN;

export const settings = {
  host: process.env.MAIL_HOST ?? "127.0.0.1",
  port: Number(process.env.MAIL_PORT ?? 2525),
  pool: true,
  connectionTimeout: 5_000,
  ...(login && {
    requireTLS: true,
    auth: { user: login, pass: readFileSync(process.env.MAIL_PASSWORD_FILE, "ascii").trim() },
  }),
};
