# Opens sessions in LemonLDAP::NG's store, as its portal does after a sign-in, and prints their ids.
use strict;
use warnings;
use JSON;
use Lemonldap::NG::Common::Session;

my ( $file, $count ) = @ARGV;
local $/;
open my $handle, '<', $file or die "$file: $!";
my $conf = from_json(<$handle>);
for my $number ( 1 .. $count ) {
    my $session = Lemonldap::NG::Common::Session->new(
        {
            storageModule        => $conf->{globalStorage},
            storageModuleOptions => { %{ $conf->{globalStorageOptions} } },
            kind                 => 'SSO',
            info                 => {
                uid                 => "user-$number",
                _user               => "user-$number",
                _utime              => time,
                _auth               => 'Demo',
                _userDB             => 'Demo',
                authenticationLevel => 2,
                ipAddr              => '127.0.0.1',
            },
        }
    );
    die $session->error if $session->error;
    print $session->id, "\n";
}
