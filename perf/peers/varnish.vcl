vcl 4.1;

backend app {
    .host = "@HOST@";
    .port = "@PORT@";
}
