-- What kind of thing it is: device, sensor, actuator, controller or gateway.
ALTER TABLE things ADD COLUMN type TEXT NOT NULL DEFAULT 'device';
