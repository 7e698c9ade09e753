mod desk;
mod keeper;
