# The back end of the chat example, for the compose files beside this one.
FROM node:22-slim
WORKDIR /app
COPY examples/chat/package.json examples/chat/package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund
COPY examples/chat/chat.js ./
USER node
ENV BACKEND_HOST=0.0.0.0
EXPOSE 9000
CMD ["node", "chat.js"]
